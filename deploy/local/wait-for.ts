import { setTimeout as sleep } from 'node:timers/promises';

const TIMEOUT_MS = 60_000;
const POLL_MS = 100;
/** A request that hangs is repeated after this time. */
const ANSWER_TIMEOUT_MS = 5_000;

/** Polls the URL until its status is a ready one. Throws on a timeout or when `signal` is aborted. */
export async function waitFor(
  url: string,
  { isReady, signal }: { isReady(status: number): boolean; signal: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS;
  while (performance.now() < deadline) {
    signal.throwIfAborted();
    const status = await statusOf(url);
    if (status !== undefined && isReady(status)) return;
    await sleep(POLL_MS);
  }
  throw new Error(`${url} is not ready after ${TIMEOUT_MS / 1_000} s. See its log.`);
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
