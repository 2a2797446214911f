import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { TransientFailure } from '../activities/failures.ts';
import type { Operation } from '../activities/operation.ts';
import { OPERATIONS } from '../activities/operation-list.ts';
import { closeBooks } from './support/books.ts';
import type { Answer } from './support/client.ts';
import type { Company } from './support/companies.ts';
import { brokenControls } from './support/controls.ts';
import { emptyModel, expect as expected, invoicesOf, type Model } from './support/model.ts';
import { otherBody, type Request, randomSteps, requestOf, sendTo } from './support/random-writes.ts';
import { type System, startSystem } from './support/system.ts';

/** Each run is of new companies in one database, so the controls look at all runs so far. */
const RUNS = { interruptAfterTimeLimit: 40_000, endOnFailure: false } as const;

const MAX_CUTS = 20;

type Books = { readonly company: Company; readonly customers: string[]; readonly invoices: string[]; model: Model };

describe('after any run the books are right', () => {
  let system: System;
  /** Keys whose first attempt fails at its very end, after all its statements. */
  const failOnce = new Set<string>();
  beforeAll(async () => {
    system = await startSystem({ operations: OPERATIONS.map((operation) => failingOnce(operation, failOnce)) });
  });
  afterAll(() => system.stop());

  async function openBooks(): Promise<[Books, Books]> {
    const open = async (): Promise<Books> => {
      const company = await system.company();
      await closeBooks(system.owner, company.id, '2026-01-14');
      return { company, customers: [], invoices: [], model: emptyModel() };
    };
    return [await open(), await open()];
  }

  const invoices = async ({ company }: Books) =>
    (
      await system.owner.query(
        `SELECT number, total_minor AS total, paid_minor AS paid, status FROM invoices
         WHERE company_id = $1 ORDER BY created_at`,
        [company.id],
      )
    ).rows;

  test('one request after another is answered as a small model of the books says', async () => {
    await fc.assert(
      fc.asyncProperty(randomSteps({ minLength: 20, maxLength: 40 }), async (steps) => {
        const books = await openBooks();
        for (const [index, { company, write, again }] of steps.entries()) {
          const own = books[company];
          const request = requestOf(write, own);
          const key = `step-${index}`; // the same keys in both companies
          const answer = await sendTo(own.company, request, key);
          expect(said(answer), `step ${index}`).toEqual({ ...expected(own.model, write), replayed: false });
          remember(own, request, answer);
          if (again === 'never') continue;
          const second = await sendTo(own.company, again === 'same' ? request : otherBody(request), key);
          expect(again === 'same' ? { ...said(second), text: second.text } : said(second)).toEqual(
            again === 'same'
              ? { ...said(answer), text: answer.text, replayed: true }
              : { status: 422, code: 'idempotency_key_reused', replayed: false },
          );
        }
        for (const own of books) expect(await invoices(own)).toEqual(invoicesOf(own.model));
        expect(await brokenControls(system.owner)).toEqual({});
      }),
      { ...RUNS, numRuns: 6 },
    );
  });

  test('all requests at once, each sent twice, some failing at their end: the controls hold all the same', async () => {
    await fc.assert(
      fc.asyncProperty(randomSteps({ minLength: 40, maxLength: 60 }), fc.nat({ max: 6 }), async (steps, failing) => {
        const books = await openBooks();
        for (const own of books) await fill(own);
        const sent = steps.map(({ company, write }, index) => {
          const own = books[company];
          const request = requestOf(write, own);
          const key = `${index}-${own.company.id}`;
          if (index % 7 === failing) failOnce.add(key);
          return [sendTo(own.company, request, key), sendTo(own.company, request, key)];
        });
        for (const pair of sent) {
          const [one, two] = (await Promise.all(pair)) as [Answer, Answer];
          expect([200, 201, 404, 409, 422]).toContain(one.status);
          expect(two.text).toBe(one.text);
          expect(one.replayed).not.toBe(two.replayed);
        }
        expect(await brokenControls(system.owner)).toEqual({});
      }),
      // What raced cannot be raced again in the same way: nothing to shrink.
      { ...RUNS, numRuns: 4, endOnFailure: true },
    );
    expect(failOnce.size).toBe(0);
  });

  test('what the metrics count is what the audit log has', async () => {
    const { rows } = await system.owner.query(
      `SELECT operation_name AS operation, status, count(*)::int AS n FROM idempotent_write_audit_log
       GROUP BY 1, 2 ORDER BY 1, 2`,
    );
    const page = await (await fetch(`${system.url}/metrics`)).text();
    const counted = [
      ...page.matchAll(/^idempotent_writes_total\{operation="(\w+)",type="[\w-]+",status="(\w+)"\} (\d+)$/gm),
    ].map(([, operation, status, n]) => ({ operation, status, n: Number(n) }));
    const byName = (a: { operation: string; status: string }, b: typeof a) =>
      `${a.operation} ${a.status}` < `${b.operation} ${b.status}` ? -1 : 1;
    expect((counted as typeof rows).sort(byName)).toEqual(rows.sort(byName));
  });

  test('connections cut in the middle of it change nothing of that', async () => {
    const books = await openBooks();
    for (const own of books) await fill(own);
    const [steps] = fc.sample(randomSteps({ minLength: 120, maxLength: 120 }), 1);
    const answered = new AbortController();
    const cutting = cutConnections(system.environment['DATABASE_URL'] as string, answered.signal);
    const answers = await Promise.all(
      (steps ?? []).map(({ company, write }, index) => {
        const own = books[company];
        return settled(own.company, requestOf(write, own), `cut-${index}`);
      }),
    );
    answered.abort();
    expect(await cutting).toBeGreaterThan(2);
    for (const answer of answers) expect([200, 201, 404, 409, 422]).toContain(answer.status);
    expect(await brokenControls(system.owner)).toEqual({});
  });

  /** A few customers and invoices to begin with: finalized ones, and drafts. */
  async function fill(own: Books): Promise<void> {
    own.customers.push(await own.company.customer('USD'), await own.company.customer('JPY'));
    for (const total of [300, 500, 700]) {
      own.invoices.push(await own.company.invoice({ customerId: own.customers[0] as string, total }));
    }
    for (const currency of ['USD', 'JPY']) {
      const customerId = own.customers[currency === 'USD' ? 0 : 1] as string;
      own.invoices.push(await own.company.draftInvoice({ customerId, currency, total: 400 }));
    }
  }
});

/** What the answer says, as far as the model knows. */
function said({ status, json, replayed }: Answer) {
  return { status, ...(status < 300 ? {} : { code: json.code as string }), replayed };
}

function remember(own: Books, { path }: Request, { status, json }: Answer): void {
  if (status !== 201) return;
  if (path === '/api/customers') own.customers.push(json.id);
  if (path === '/api/invoices') own.invoices.push(json.id);
}

/** Sends it with the same key until there is a final answer, as a client does. */
async function settled(company: Company, request: Request, key: string): Promise<Answer> {
  for (;;) {
    const answer = await sendTo(company, request, key);
    if (answer.status < 500 && answer.status !== 202) return answer;
    expect(answer.json.retryable ?? true).toBe(true);
  }
}

/** Cuts connections that are at work, one every few milliseconds; answers how many. Only a superuser sees which are. */
async function cutConnections(databaseUrl: string, stop: AbortSignal): Promise<number> {
  const superuser = new pg.Client({ connectionString: inject('superuserUrl') });
  await superuser.connect();
  let cut = 0;
  // Not without end: the last write would be cut again and again.
  while (cut < MAX_CUTS && !stop.aborted) {
    const { rowCount } = await superuser.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = $1 AND application_name = 'accubooks-api' AND state <> 'idle' ORDER BY random() LIMIT 1`,
      [new URL(databaseUrl).pathname.slice(1)],
    );
    cut += rowCount ?? 0;
    await sleep(15);
  }
  await superuser.end();
  return cut;
}

/** The operation itself, whose work is undone once for a key that is named, and done again. */
function failingOnce(operation: Operation, keys: Set<string>): Operation {
  return {
    ...operation,
    async write(tx, input, context) {
      const [row] = await tx.query<{ idempotency_key: string }>(
        'SELECT idempotency_key FROM idempotent_writes WHERE company_id = $1 AND write_id = $2',
        [context.companyId, context.writeId],
      );
      const undone = keys.delete(row?.idempotency_key ?? '');
      const [end] = await Promise.allSettled([operation.write(tx, input, context)]);
      if (undone) throw new TransientFailure('Undone by the test', { mayHaveCommitted: false });
      if (end.status === 'rejected') throw end.reason;
      return end.value;
    },
  };
}
