import { startSystem } from './system.ts';
import { watchSource } from './watch-source.ts';

const SAME_SIGNAL_MS = 1_000;

/** Starts the system, prints how to use it, stops it on Ctrl-C, and exits the process. */
export async function launch({ reload }: { reload: boolean }): Promise<never> {
  // Closing the terminal breaks the output, which must not prevent an orderly stop.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => {});

  const end = whenToEnd();
  const log = (line: string) => console.log(`· ${line}`);
  const system = startSystem({ log, gaveUp: end.because, restartForever: reload });
  system.ready.then((text) => {
    console.log(text);
    if (reload) watchSource({ reload: system.reload, log });
  }, end.because);

  const failure = await end.reached;
  if (failure === undefined)
    console.log('\n· Stopping after the open requests are finished (press Ctrl-C again to stop at once)');
  else console.error(failure.message);
  const stoppingSince = performance.now();
  onSignal(() => {
    // npm forwards Ctrl-C, so one key press may arrive twice; only a later signal is a second key press.
    if (performance.now() > stoppingSince + SAME_SIGNAL_MS) system.killProcesses();
  });
  await system.stop();
  process.exit(failure === undefined ? 0 : 1);
}

/** `reached` resolves with what went wrong, or with undefined on Ctrl-C. */
function whenToEnd() {
  let resolve: (failure: Error | undefined) => void;
  const reached = new Promise<Error | undefined>((settle) => {
    resolve = settle;
  });
  onSignal(() => resolve(undefined));
  return { reached, because: (failure: Error) => resolve(failure) };
}

function onSignal(act: () => void): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, act);
}
