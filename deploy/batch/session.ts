import { type DestinationOptions, findDestination } from '../cli/destination.ts';
import { type ClearableProgress, createProgress } from '../cli/progress.ts';
import { createAsker } from './ask.ts';
import { type BatchApi, createBatchApi } from './batch-api.ts';
import { Unfinished } from './ends.ts';

export type SessionOptions = DestinationOptions & { readonly giveUpAfter: number };

export type Session = {
  readonly api: BatchApi;
  readonly progress: ClearableProgress;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** How old the shown progress may be, in seconds. */
  readonly waitS: number;
  /** What Ctrl-C means from now on. */
  onInterrupt(text: string): void;
};

/** Requests that wait are answered late: where somebody looks on, they wait less. */
const WAIT_S = { terminal: 1, plain: 5 } as const;

export async function withSession<T>(options: SessionOptions, work: (session: Session) => Promise<T>): Promise<T> {
  const destination = await findDestination(options);
  const progress = createProgress();
  const interrupted = new AbortController();
  let meaning = 'Stopped.';
  const interrupt = () => interrupted.abort(new Unfinished(meaning));
  process.once('SIGINT', interrupt);
  const { signal } = interrupted;
  const asker = createAsker(destination, {
    giveUpMs: options.giveUpAfter * 1_000,
    signal,
    onTrouble: (text) => progress.update(text),
  });
  try {
    return await work({
      api: createBatchApi(asker),
      progress,
      signal,
      waitS: process.stderr.isTTY ? WAIT_S.terminal : WAIT_S.plain,
      onInterrupt(text) {
        meaning = text;
      },
    });
  } finally {
    progress.clear();
    process.off('SIGINT', interrupt);
    await asker.close();
  }
}
