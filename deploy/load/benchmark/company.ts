import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { inParallel } from '../../cli/in-parallel.ts';
import { mintToken } from '../../cli/token.ts';
import type { Http } from '../../client/src/http.ts';
import { submitWrite } from '../../client/src/submit-write.ts';

/** The company of all payments of a benchmark. */
export type BenchmarkCompany = { readonly companyId: string; readonly token: string };

/** Far more than a benchmark pays, one minor unit at a time. */
const INVOICE_TOTAL_MINOR = 1_000_000_000_000;
const PREPARE_CONCURRENCY = 64;
const GIVE_UP_AFTER_MS = 120_000;

export async function createBenchmarkCompany(owner: pg.Client, secret: string): Promise<BenchmarkCompany> {
  const { rows } = await owner.query<{ companyId: string; userId: string }>(
    'SELECT company_id AS "companyId", user_id AS "userId" FROM create_company($1, $2, $3)',
    ['Benchmark Ltd', 'owner@benchmark.test', 'USD'],
  );
  const [made] = rows;
  if (made === undefined) throw new Error('Bug! create_company returned no row');
  return {
    companyId: made.companyId,
    token: await mintToken({ secret, subject: made.userId, companyId: made.companyId }),
  };
}

/** Creates finalized invoices with a large amount due, through the API. */
export async function prepareInvoices(
  http: Http,
  token: string,
  count: number,
  signal: AbortSignal,
): Promise<string[]> {
  const create = async (path: string, body: object) => {
    const write = { method: 'POST', path, token, key: `prepare-${randomUUID()}`, body: JSON.stringify(body) } as const;
    const { final } = await submitWrite(http, write, { deadlineMs: GIVE_UP_AFTER_MS });
    if (final?.status !== 201 && final?.status !== 200) {
      throw new Error(`The benchmark's data cannot be prepared: ${path} was answered ${final?.status} ${final?.text}`);
    }
    return JSON.parse(final.text).id as string;
  };
  const customerId = await create('/api/customers', { name: 'Benchmark', currency: 'USD' });
  const lines = [{ description: 'Work', quantity: '1', unitPrice: INVOICE_TOTAL_MINOR }];
  const dates = { issueDate: '2026-01-15', dueDate: '2026-12-31' };
  return inParallel(PREPARE_CONCURRENCY, Array.from({ length: count }), async () => {
    signal.throwIfAborted();
    const invoiceId = await create('/api/invoices', { customerId, currency: 'USD', ...dates, lines });
    return create(`/api/invoices/${invoiceId}/finalize`, {});
  });
}
