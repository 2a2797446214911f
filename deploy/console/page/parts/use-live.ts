import { useEffect, useState } from 'preact/hooks';
import { ApiError, refusalOf, signedHeaders } from '../api.ts';

/** What a stream tells: the last message, and whether more are coming. */
export type Live<T> = {
  readonly data: T | undefined;
  /** `blind`: nothing comes, and the last message is of before. */
  readonly state: 'connecting' | 'live' | 'blind';
  readonly error: ApiError | undefined;
};

/** Three messages that did not come. */
const SILENT_MS = 8_000;
const PAUSES_MS = [1_000, 2_000, 5_000, 10_000];

/**
 * Follows a stream of server-sent events with JSON in them, and connects again when it ends. By fetch, since an EventSource sends
 * no token.
 */
export function useLive<T>(path: string): Live<T> {
  const [live, setLive] = useState<Live<T>>({ data: undefined, state: 'connecting', error: undefined });
  useEffect(() => {
    let leaving = new AbortController();
    const begin = () => {
      leaving = new AbortController();
      void follow<T>(path, leaving.signal, {
        told: (data) => setLive({ data, state: 'live', error: undefined }),
        lost: (error) => setLive(({ data }) => ({ data, state: 'blind', error })),
      });
    };
    // A browser has six connections to a host: tabs that nobody looks at keep none of them.
    const turn = () => {
      leaving.abort();
      if (document.visibilityState === 'visible') begin();
    };
    if (document.visibilityState === 'visible') begin();
    document.addEventListener('visibilitychange', turn);
    return () => {
      document.removeEventListener('visibilitychange', turn);
      leaving.abort();
    };
  }, [path]);
  return live;
}

type Follower<T> = { told(data: T): void; lost(error: ApiError): void };

async function follow<T>(path: string, leaving: AbortSignal, { told, lost }: Follower<T>): Promise<void> {
  let failures = 0;
  while (!leaving.aborted) {
    const fault = await readOnce<T>(path, leaving, (data) => {
      failures = 0;
      told(data);
    });
    if (leaving.aborted) return;
    lost(fault);
    // A token that is not taken is not taken the next time either.
    if (fault.status === 401) return;
    await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)] ?? 0, leaving);
    failures += 1;
  }
}

/** Reads one stream until it ends; answers why it did. */
async function readOnce<T>(path: string, leaving: AbortSignal, told: (data: T) => void): Promise<ApiError> {
  const silent = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silent.abort(), SILENT_MS);
  };
  heard();
  try {
    const signal = AbortSignal.any([leaving, silent.signal]);
    const response = await fetch(path, { headers: signedHeaders(path), signal });
    if (!response.ok) return await refusalOf(path, response);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const chunk = await reader?.read();
      if (chunk === undefined || chunk.done) return new ApiError(0, { detail: 'The API has ended the stream.' });
      const events = (rest + chunk.value).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event)?.[1];
        if (data === undefined) continue;
        // What only keeps the connection is no news: after a while it is blind all the same.
        heard();
        told(JSON.parse(data) as T);
      }
    }
  } catch {
    const detail = silent.signal.aborted ? 'The API is silent.' : 'The API does not answer. Is it running?';
    return new ApiError(0, { detail });
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number, leaving: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    leaving.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
