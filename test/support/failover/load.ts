import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from '../client.ts';
import type { Company } from '../companies.ts';
import { paymentBody } from '../effects.ts';
import { type Acknowledged, pay, type Request } from './acknowledged.ts';

/** Clients that pay one invoice without a pause, each key until it has a final answer. */
export type Load = {
  /** Every final answer so far, in the order in which they came. */
  readonly ends: readonly End[];
  /** Answers when each key that was begun has its final answer. */
  stop(): Promise<void>;
};

type End = Request & {
  readonly answer: Answer;
  /** By the clock of `performance.now()`: when the key was first sent, and when its final answer came. */
  readonly firstSentMs: number;
  readonly answeredMs: number;
};

const CLIENTS = 8;
const PAUSE_MS = 50;

/** `url` is asked for at each request: processes that were started again have another. */
export function startLoad(company: Company, url: () => string, invoiceId: string): Load {
  const ends: End[] = [];
  let isOver = false;
  const clients = Array.from({ length: CLIENTS }, async (_, client) => {
    while (!isOver) {
      const request = { key: randomUUID(), body: paymentBody(invoiceId, client + 1) };
      const firstSentMs = performance.now();
      const answer = await untilFinal(() => pay(company, url(), request));
      ends.push({ ...request, answer, firstSentMs, answeredMs: performance.now() });
    }
  });
  return {
    ends,
    async stop() {
      isOver = true;
      await Promise.all(clients);
    },
  };
}

export function acknowledgedOf({ ends }: Load): Acknowledged[] {
  return ends.filter(({ answer }) => answer.status === 201);
}

/** Sooner again than a client would: the pause is to be measured. */
async function untilFinal(send: () => Promise<Answer>): Promise<Answer> {
  while (true) {
    const answer = await send().catch(() => undefined);
    if (answer !== undefined && answer.status !== 202 && answer.json?.retryable !== true) return answer;
    await sleep(PAUSE_MS);
  }
}
