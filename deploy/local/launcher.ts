import { startSystem } from './system.ts';
import { watchSource } from './watch-source.ts';

const SAME_SIGNAL_MS = 1_000;

/** Starts the system, prints how to use it, and stops it at Ctrl-C; ends the process. */
export async function launch({ reload }: { reload: boolean }): Promise<never> {
  // A terminal that is closed takes the output with it, and must not take the orderly stop.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => {});

  const end = whenToEnd();
  const log = (line: string) => console.log(`· ${line}`);
  const system = startSystem({ log, gaveUp: end.because, patient: reload });
  system.ready.then((text) => {
    console.log(text);
    if (reload) watchSource({ reload: system.reload, log });
  }, end.because);

  const failure = await end.reached;
  if (failure === undefined) console.log('\n· Stopping: requests are finished first (Ctrl-C once more: they are not)');
  else console.error(failure.message);
  const stoppingSince = Date.now();
  onSignal(() => {
    // npm hands a Ctrl-C on, so one may come twice; only a later one is another.
    if (Date.now() > stoppingSince + SAME_SIGNAL_MS) system.hurry();
  });
  await system.stop();
  process.exit(failure === undefined ? 0 : 1);
}

/** Resolves with what went wrong, or with undefined at Ctrl-C. */
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
