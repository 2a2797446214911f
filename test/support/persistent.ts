import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from './client.ts';

/** What a client went through until it had its answer. */
export type Persistence = {
  readonly final: Answer;
  /** The codes and statuses that told it to try again; `no answer` where the connection failed. */
  readonly before: readonly string[];
};

const PAUSE_MS = 250;
const PATIENCE_MS = 150_000;

/** Sends the same request again, as the contract says, until its answer is neither "not yet" nor "try again". */
export async function untilFinal(send: () => Promise<Answer>): Promise<Persistence> {
  const before: string[] = [];
  let told = '';
  const deadline = Date.now() + PATIENCE_MS;
  while (true) {
    const answer = await send().catch(() => undefined);
    if (answer !== undefined && answer.status !== 202 && answer.json?.retryable !== true)
      return { final: answer, before };
    before.push(answer === undefined ? 'no answer' : String(answer.json?.code ?? answer.status));
    told = String(answer?.json?.detail ?? told);
    if (Date.now() > deadline) {
      const different = [...new Set(before)].join(', ');
      throw new Error(`No final answer: ${before.length} times ${different}; at last: ${told}`);
    }
    await sleep(PAUSE_MS);
  }
}
