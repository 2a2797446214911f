import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { createPayment } from '../../../../activities/operations/create-payment.ts';
import { asAuditor } from '../../../cli/auditor.ts';
import { openPooledHttp } from '../../../cli/pooled-http.ts';
import { mintToken } from '../../../cli/token.ts';
import { count } from '../../../client/src/repeat.ts';
import { check, type SentKey, violationsIn } from '../../../isolation/checks.ts';
import type { AppDatabase } from '../../../local/database.ts';
import { type ApiProcess, startApiProcess } from '../api-process.ts';
import { createBenchmarkCompany, prepareInvoices } from '../company.ts';
import { createRig, type Rig } from '../rig.ts';
import type { Servers } from '../servers.ts';
import { paymentsAnInvoice, paymentsOf, type Size } from './books.ts';
import { type Filled, fill } from './fill.ts';

/** One of the databases that are compared, with an API process of its own. */
export type Side = {
  readonly name: 'small' | 'filled';
  readonly database: AppDatabase;
  readonly owner: pg.Client;
  readonly apiUrl: string;
  startApi(): Promise<void>;
  stopApi(): Promise<void>;
  /** Copies one customer, invoice and payment, which it first makes through the API. */
  fill(size: Size, log: (line: string) => void): Promise<Filled>;
  /** Companies of the last filling, by chance. */
  draw(): Promise<readonly Drawn[]>;
  /** Keeps what a rig of that company has recorded. */
  note(companyId: string, rig: Rig): void;
  violate(what: string): void;
  readonly errors: Readonly<Record<string, number>>;
  /** What answers have shown to be wrong, and what the database says of the keys that were sent. Reads all of it. */
  violations(): Promise<readonly string[]>;
  stop(): Promise<void>;
};

export type Drawn = {
  readonly companyId: string;
  readonly token: string;
  readonly invoiceIds: readonly string[];
  /** How many payments it was filled with; the first so many are of its first invoice. */
  readonly payments: number;
  readonly paymentsAnInvoice: number;
};

/** As many companies at once in both databases, because payments of one company travel together. */
export const DRAWN_COMPANIES = 20;

export async function openSide(
  name: Side['name'],
  database: AppDatabase,
  shared: { readonly servers: Servers; readonly bundle: string; readonly secret: string; readonly signal: AbortSignal },
): Promise<Side> {
  const { signal, secret } = shared;
  const owner = new pg.Client({ connectionString: database.databaseUrl, application_name: 'accubooks-benchmark' });
  owner.on('error', () => undefined);
  await owner.connect();
  let api: ApiProcess | undefined;
  let originalId: string | undefined;
  let filledWith: Size | undefined;
  const sent: SentKey[] = [];
  const errors: Record<string, number> = {};
  const violations = new Set<string>();
  const side: Side = {
    name,
    database,
    owner,
    errors,
    get apiUrl() {
      if (api === undefined) throw new Error('Bug! The API is not running');
      return api.url;
    },
    async startApi() {
      const environment = { TEMPORAL_TASK_QUEUE: `growth-${name}` };
      api = await startApiProcess({ ...shared, servers: { ...shared.servers, database }, grouping: 'on', environment });
    },
    async stopApi() {
      await api?.stop();
      api = undefined;
    },
    async fill(size, log) {
      originalId ??= await makeOriginal(owner, side.apiUrl, secret, signal);
      filledWith = size;
      return fill({ ...size, databaseUrl: database.databaseUrl, originalId, signal, log });
    },
    async draw() {
      if (filledWith === undefined) throw new Error('Bug! The database is empty');
      return drawCompanies(owner, filledWith, secret);
    },
    note(companyId, rig) {
      sent.push(...[...rig.acknowledgedKeys].map((key) => ({ companyId, key, acknowledged: true })));
      for (const [label, times] of Object.entries(rig.errors)) count(errors, label, times);
      for (const violation of rig.violations) violations.add(violation);
    },
    violate(what) {
      violations.add(what);
    },
    async violations() {
      const findings = await asAuditor(database.databaseUrl, (auditor) =>
        check(auditor, createPayment, sent, { strays: 0 }),
      );
      return [...violations, ...violationsIn(findings)].map((violation) => `${name}: ${violation}`);
    },
    async stop() {
      await side.stopApi();
      await owner.end();
    },
  };
  return side;
}

async function makeOriginal(owner: pg.Client, url: string, secret: string, signal: AbortSignal): Promise<string> {
  const { companyId, token } = await createBenchmarkCompany(owner, secret);
  const http = openPooledHttp(url, { connections: 1 });
  try {
    const [invoiceId] = await prepareInvoices(http, token, 1, signal);
    const rig = createRig(http, token, []);
    const paid = await rig.pay(randomUUID(), invoiceId as string);
    if (paid?.status !== 201) throw new Error(`The payment to be copied was answered ${paid?.status} ${paid?.text}`);
    return companyId;
  } finally {
    await http.close();
  }
}

async function drawCompanies(owner: pg.Client, size: Size, secret: string): Promise<Drawn[]> {
  const { rows } = await owner.query<{ n: number; company_id: string; user_id: string; invoices: string[] }>(
    `SELECT c.n, c.company_id, c.user_id, array_agg(i.invoice_id::text ORDER BY i.place) AS invoices
     FROM (SELECT * FROM growth.companies ORDER BY random() LIMIT $1) AS c JOIN growth.invoices i ON i.n = c.n
     GROUP BY c.n, c.company_id, c.user_id`,
    [DRAWN_COMPANIES],
  );
  return Promise.all(
    rows.map(async ({ n, company_id: companyId, user_id: subject, invoices }) => ({
      companyId,
      token: await mintToken({ secret, subject, companyId }),
      invoiceIds: invoices,
      payments: paymentsOf(n, size),
      paymentsAnInvoice: paymentsAnInvoice(size),
    })),
  );
}
