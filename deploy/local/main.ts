/**
 * `npm start`: the whole system on one machine, with a demo company. PostgreSQL and Temporal (unless they are provided),
 * migrations, API and worker, demo data; all of it watched over until Ctrl-C, which drains and stops it.
 */
import { startSystem } from './system.ts';

const SAME_SIGNAL_MS = 1_000;

// A terminal that is closed takes the output with it, and must not take the orderly stop.
for (const output of [process.stdout, process.stderr]) output.on('error', () => {});

const end = whenToEnd();
const system = startSystem({ log: (line) => console.log(`· ${line}`), gaveUp: end.because });
system.ready.then((text) => console.log(text), end.because);

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
