import { setTimeout as sleep } from 'node:timers/promises';

const TIMEOUT_MS = 60_000;
const POLL_MS = 100;
/** One that hangs is asked again. */
const ANSWER_TIMEOUT_MS = 5_000;

/** Asks until the status is a ready one. Throws when that takes too long, or `signal` ends the waiting. */
export async function waitFor(
  url: string,
  { isReady, signal }: { isReady(status: number): boolean; signal: AbortSignal },
): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  while (Date.now() < deadline) {
    signal.throwIfAborted();
    const status = await statusOf(url);
    if (status !== undefined && isReady(status)) return;
    await sleep(POLL_MS);
  }
  throw new Error(`${url} is not ready after ${TIMEOUT_MS / 1_000} s. Its log may tell why.`);
}

async function statusOf(url: string): Promise<number | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    await response.body?.cancel();
    return response.status;
  } catch {
    return undefined;
  }
}
