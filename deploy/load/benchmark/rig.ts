import { randomUUID } from 'node:crypto';
import { inParallel } from '../../cli/in-parallel.ts';
import { labelOf, tellsOutcome } from '../../client/src/answers.ts';
import type { Answer, Http } from '../../client/src/http.ts';
import { count } from '../../client/src/repeat.ts';
import { submitWrite, type Write } from '../../client/src/submit-write.ts';

/** Sends payments for the modes and records the answers for the check that follows. */
export type Rig = {
  /** Lends an invoice that no other payment in flight uses; waits while all are lent. */
  borrowInvoice(): Promise<{ readonly id: string; giveBack(): void }>;
  newKey(): string;
  /** Sends one request without retries; undefined if there was no answer. Counts everything but a success as an error. */
  pay(key: string, invoiceId: string): Promise<Answer | undefined>;
  violate(what: string): void;
  /** Sends writes that were answered 202 again until they have an outcome. */
  settle(): Promise<void>;
  readonly acknowledgedKeys: ReadonlySet<string>;
  readonly errors: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
};

/** The longest wait that a request may prefer, because the benchmark measures final answers. */
const PREFER = 'wait=60';
const SETTLE_CONCURRENCY = 32;
const SETTLE_WITHIN_MS = 120_000;
const MAX_VIOLATIONS = 100;

export function createRig(http: Http, token: string, invoiceIds: readonly string[]): Rig {
  const lendInvoice = lender(invoiceIds);
  const acknowledgedKeys = new Set<string>();
  const errors: Record<string, number> = {};
  const violations: string[] = [];
  const unsettled: Write[] = [];
  const run = randomUUID().slice(0, 8);
  let keys = 0;
  return {
    borrowInvoice: lendInvoice,
    newKey() {
      keys += 1;
      return `benchmark-${run}:${keys}`;
    },
    async pay(key, invoiceId) {
      const write = { method: 'POST', path: '/api/payments', token, key, body: paymentOf(invoiceId) } as const;
      const answer = await http.send({ ...write, prefer: PREFER }).catch(() => undefined);
      if (answer === undefined) count(errors, 'no answer');
      else if (answer.status !== 201) count(errors, labelOf(answer));
      if (answer?.status === 202) unsettled.push(write);
      if (answer !== undefined && (answer.status === 202 || tellsOutcome(answer))) acknowledgedKeys.add(key);
      return answer;
    },
    violate(what) {
      if (violations.length < MAX_VIOLATIONS) violations.push(what);
    },
    async settle() {
      await inParallel(SETTLE_CONCURRENCY, unsettled, (write) =>
        submitWrite(http, write, { deadlineMs: SETTLE_WITHIN_MS }),
      );
    },
    acknowledgedKeys,
    errors,
    violations,
  };
}

/** A template instead of JSON.stringify, because the load generator must cost little. */
export function paymentOf(invoiceId: string): string {
  return `{"invoiceId":"${invoiceId}","amount":1,"currency":"USD","method":"bank_transfer","receivedOn":"2026-02-01"}`;
}

function lender(invoiceIds: readonly string[]): Rig['borrowInvoice'] {
  const free = [...invoiceIds];
  const waiting: ((id: string) => void)[] = [];
  const giveBack = (id: string) => {
    const next = waiting.shift();
    if (next === undefined) free.push(id);
    else next(id);
  };
  return async () => {
    const id = free.shift() ?? (await new Promise<string>((resolve) => waiting.push(resolve)));
    return { id, giveBack: () => giveBack(id) };
  };
}
