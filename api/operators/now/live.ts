import type { ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import { ApiProblem } from '../../http/problems.ts';
import type { NowSource } from './sampler.ts';

type Follower = {
  /** Who follows: a single one does not take the places of all. */
  readonly subject: string;
  /** Asked before each snapshot; the stream ends when it throws. */
  readonly stillAllowed: () => Promise<unknown>;
  /** To which the stream is piped. */
  readonly response: Pick<ServerResponse, 'writableFinished' | 'destroy'>;
};

/** Streams of snapshots to the pages that are open. */
export type LiveStreams = {
  /** A stream with one snapshot at once, then one every two seconds. Throws `overloaded`. */
  open(follower: Follower): PassThrough;
  /** Ends all streams and opens no further one. */
  end(): void;
};

export const MAX_STREAMS = 100;
export const MAX_STREAMS_OF_ONE = 10;
const EVERY_MS = 2_000;
/** For what was sent last. */
const LEAVE_MS = 1_000;
/** Of a reader that does not read: a few snapshots. Beyond that its stream ends. */
const MAX_UNREAD_BYTES = 1024 * 1024;

export function createLiveStreams(source: Pick<NowSource, 'snapshot'>): LiveStreams {
  const streams = new Map<PassThrough, Follower>();
  let hasEnded = false;
  let timer: NodeJS.Timeout | undefined;
  let turn = 0;
  let made: { readonly turn: number; readonly text: Promise<string>; isReady: boolean } | undefined;

  /** One snapshot a turn, for all streams. */
  function snapshotText(): Promise<string> {
    if (made?.turn === turn) return made.text;
    const text = source.snapshot().then((snapshot) => `event: snapshot\ndata: ${JSON.stringify(snapshot)}\n\n`);
    const making = { turn, text, isReady: false };
    const ready = () => {
      making.isReady = true;
    };
    text.then(ready, ready);
    made = making;
    return text;
  }

  function close(stream: PassThrough): void {
    const response = streams.get(stream)?.response;
    streams.delete(stream);
    if (streams.size === 0) clearInterval(timer);
    stream.end();
    // A reader that does not read would keep its connection, and the process from ending.
    setTimeout(() => response?.writableFinished || response?.destroy(), LEAVE_MS).unref();
  }

  async function send(stream: PassThrough): Promise<void> {
    const follower = streams.get(stream);
    if (follower === undefined) return;
    if (stream.writableLength + stream.readableLength > MAX_UNREAD_BYTES) {
      close(stream);
      return;
    }
    try {
      await follower.stillAllowed();
      const text = await snapshotText();
      if (streams.has(stream)) stream.write(text);
    } catch {
      close(stream);
    }
  }

  function tick(): void {
    // While a snapshot takes long, its readers learn that the connection is alive.
    const isLate = made?.isReady === false;
    if (!isLate) turn += 1;
    for (const stream of streams.keys()) {
      if (isLate) stream.write(': waiting\n\n');
      else void send(stream);
    }
  }

  function refusalOf(subject: string): string | undefined {
    if (hasEnded) return 'This process is about to end. Ask again.';
    if (streams.size >= MAX_STREAMS)
      return `At most ${MAX_STREAMS} streams are open at a time. Ask for /operator/now instead.`;
    const own = [...streams.values()].filter((follower) => follower.subject === subject).length;
    if (own < MAX_STREAMS_OF_ONE) return undefined;
    return `You follow ${MAX_STREAMS_OF_ONE} streams already, as many as one operator may. Close one of them, or ask for /operator/now instead.`;
  }

  return {
    open(follower) {
      const refusal = refusalOf(follower.subject);
      if (refusal !== undefined) throw new ApiProblem('overloaded', { detail: refusal });
      const stream = new PassThrough();
      streams.set(stream, follower);
      stream.once('close', () => close(stream));
      stream.on('error', () => undefined);
      if (streams.size === 1) {
        // What was made for others before is of before.
        turn += 1;
        timer = setInterval(tick, EVERY_MS).unref();
      }
      void send(stream);
      return stream;
    },
    end() {
      hasEnded = true;
      for (const stream of streams.keys()) close(stream);
    },
  };
}
