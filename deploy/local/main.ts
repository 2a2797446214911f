/**
 * `npm start`: the whole system on one machine, with a demo company. PostgreSQL and Temporal (unless they are provided),
 * migrations, API and worker, demo data; all of it watched over until Ctrl-C, which drains and stops it.
 */
import { startSystem } from './system.ts';

// A terminal that is closed takes the output with it, and must not take the orderly stop.
for (const output of [process.stdout, process.stderr]) output.on('error', () => {});

const end = whenToEnd();
const system = startSystem({ log: (line) => console.log(`· ${line}`), gaveUp: end.because });

const started = system.ready.then(
  (text) => console.log(text),
  (error: unknown) => end.because(error),
);
const failure = await end.reached;
if (failure === undefined) console.log('\n· Stopping: requests are finished first');
else console.error(messageOf(failure));
await system.stop();
await started;
process.exit(failure === undefined ? 0 : 1);

/** Resolves with what went wrong, or with undefined at Ctrl-C. */
function whenToEnd() {
  let resolve: (failure: unknown) => void;
  const reached = new Promise<unknown>((settle) => {
    resolve = settle;
  });
  // npm hands a Ctrl-C on, so it may come twice; the second says nothing new.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve(undefined));
  return { reached, because: (failure: unknown) => resolve(failure) };
}

function messageOf(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure);
}
