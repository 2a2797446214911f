import { type Destination, type DestinationOptions, findDestination } from '../cli/destination.ts';
import { type ClearableProgress, createProgress } from '../cli/progress.ts';
import { type AccuBooks, createClient } from '../client/src/client.ts';
import { errorText } from '../client/src/error-text.ts';
import { RefusedError, UnavailableError, UnknownOutcomeError } from '../client/src/errors.ts';
import { Refused, Unfinished } from './ends.ts';

export type Batches = AccuBooks['batches'];

export type SessionOptions = DestinationOptions & { readonly giveUpAfter: number };

export type Session = {
  readonly batches: Batches;
  readonly progress: ClearableProgress;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** How old the shown progress may be, in seconds. */
  readonly waitS: number;
  /** What Ctrl-C means from now on. */
  onInterrupt(text: string): void;
  /** Whether a request had no usable answer and was sent again: the first may have done what it asked for. */
  hasRepeated(): boolean;
};

/** Requests that wait are answered late: where somebody looks on, they wait less. */
const WAIT_S = { terminal: 1, plain: 5 } as const;

export async function withSession<T>(options: SessionOptions, work: (session: Session) => Promise<T>): Promise<T> {
  const destination = await findDestination(options);
  const progress = createProgress();
  const interrupted = new AbortController();
  let meaning = 'Stopped.';
  let isRepeated = false;
  const interrupt = () => interrupted.abort(new Unfinished(meaning));
  process.once('SIGINT', interrupt);
  const { signal } = interrupted;
  const giveUpAfterMs = options.giveUpAfter * 1_000;
  const onTrouble = (text: string) => {
    isRepeated = true;
    progress.update(text);
  };
  try {
    return await withBatches(destination, { giveUpAfterMs, signal, onTrouble }, (batches) =>
      work({
        ...{ batches, progress, signal },
        waitS: process.stderr.isTTY ? WAIT_S.terminal : WAIT_S.plain,
        onInterrupt(text) {
          meaning = text;
        },
        hasRepeated: () => isRepeated,
      }),
    );
  } finally {
    progress.clear();
    process.off('SIGINT', interrupt);
  }
}

/** Throws Refused for what the API refuses, and Unfinished where it gives no usable answer in time, or `signal` is aborted. */
export async function withBatches<T>(
  { url, source }: Pick<Destination, 'url' | 'source'>,
  {
    giveUpAfterMs,
    signal,
    onTrouble,
  }: { readonly giveUpAfterMs: number; readonly signal: AbortSignal; onTrouble(text: string): void },
  work: (batches: Batches) => Promise<T>,
): Promise<T> {
  const { batches } = createClient({
    ...{ baseUrl: url, token: source, giveUpAfterMs },
    // An upload may take as long as it takes.
    deadlineMs: Number.POSITIVE_INFINITY,
    // There is one request at a time.
    circuit: false,
    onRepeat: ({ reason }) => onTrouble(`No usable answer of ${url} (${reason}); trying again`),
  });
  try {
    return await work(batches);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof RefusedError) throw new Refused(error.message, error.problem);
    if (!(error instanceof UnavailableError || error instanceof UnknownOutcomeError)) throw error;
    const why = errorText(error.cause ?? error).replace(/\.$/, '');
    throw new Unfinished(`There was no usable answer of ${url}: ${why}. Run the same command again.`);
  }
}
