import { createHash } from 'node:crypto';
import { DEMO, DEMO_COMPANY_ID, DEMO_SEED, type SeedRequest } from '../../activities/demo.ts';
import { rowId, writeId } from '../../activities/identity.ts';
import { ACCOUNTS } from '../../activities/ledger/accounts.ts';
import type { Example, Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { Http } from '../client/src/http.ts';
import { submitWrite, type Write } from '../client/src/submit-write.ts';
import type { Tenant } from './target.ts';

/**
 * Builds valid requests for any operation in any company, from the operation's example.
 *
 * An example refers to resources of the demo company, which the demo's seed has created. Their IDs derive from the seed's
 * writes, so it is known which requests create a resource and which change it. Sent in another company under other keys,
 * these requests create the same resource there, again with a predictable ID. Only this file knows what it takes to send an
 * example more than once.
 */
export type ExampleMaker = {
  /**
   * Builds write number `index` of this company under `key`, after creating the resources that it refers to. A change of
   * settings or policies expects their current version, and fiscal years are closed and reopened in their order: see `ONE_WINS`.
   */
  prepare(tenant: Tenant, index: number, key: string): Promise<Write>;
};

/** How many requests may share the resources of an example; 1 for all other operations. */
const SHARED_BY: Readonly<Record<string, number>> = {
  // Each pays a small part of the amount due.
  createPayment: 10,
  // Each credits a small part of the amount due.
  createCreditNote: 10,
  createRefund: 2,
  // A customer may have any number of invoices.
  createInvoice: 50,
};
/** Resources that only need to exist, such as the customer of a paid invoice, are shared by a whole company. */
const SHARED = 'shared';
/**
 * Nobody is paid twice for a period, so each pay run has an employee of its own; and of the credit notes on a line only the
 * latest can be voided, so each has an invoice of its own.
 */
const SHARES_NOTHING: ReadonlySet<string> = new Set(['createPayRun', 'createCreditNote']);
/** Of several that are prepared before the first is sent, one succeeds: they expect one version, or are of one fiscal year. */
export const ONE_WINS: ReadonlySet<string> = new Set([
  ...['updateCompanySettings', 'updateApprovalPolicies', 'closeFiscalYear', 'reopenFiscalYear'],
]);
/** Members that are unique in a company: a second request with the same one would be rejected. */
const UNIQUE_MEMBERS = new Set(['externalReference', 'email', 'sku', 'code', 'bankReference']);
const GIVE_UP_AFTER_MS = 120_000;

/** @param options `run` prefixes the keys of created resources; `newcomerId` is the user to grant access to, by default the demo's. */
export function exampleMaker(
  http: Http,
  operation: Operation,
  options: { readonly run: string; readonly newcomerId?: string },
): ExampleMaker {
  const { run, newcomerId = DEMO.newcomerId } = options;
  const example = exampleOf(operation);
  const resources = resourceMaker(http, run);
  const years = yearMaker(http, resources.send, run);
  const sharedBy = SHARED_BY[operation.name] ?? 1;
  return {
    async prepare(tenant, index, key) {
      const copy = String(Math.floor(index / sharedBy));
      const path = operation.path.replace(/:(\w+)/g, (_, name: string) =>
        encodeURIComponent(example.params[name] ?? ''),
      );
      const body = await withCurrentVersion(http, tenant, operation.path, distinct(example.body, key));
      const request = { method: operation.method, path: path.replace(DEMO.newcomerId, newcomerId), key, body };
      const write = await resources.inCompany(request, tenant, copy);
      return { ...write, path: await years.inPath(write.path, tenant) };
    },
  };
}

/** What expects a version is read from where it is changed. */
async function withCurrentVersion(http: Http, { token }: Tenant, path: string, body: Record<string, unknown>) {
  if (body['expectedVersion'] === undefined) return body;
  const { text } = await http.send({ method: 'GET', path, token });
  return { ...body, expectedVersion: (JSON.parse(text) as { version: number }).version };
}

type Year = { readonly year: number; readonly state: 'open' | 'closed' };

/** The first fiscal year that is closed; there are more than a hundred after it that are over. */
const FIRST_ENTRY = {
  date: '1900-06-30',
  description: 'The first entry',
  currency: 'USD',
  lines: [
    { accountCode: ACCOUNTS.bankCharges, amount: 100 },
    { accountCode: ACCOUNTS.bank, amount: -100 },
  ],
};

/** Fiscal years have no ID of their own: the next one is closed, and the latest closed one reopened. */
function yearMaker(http: Http, send: (write: Write, tenant: Tenant) => Promise<void>, run: string) {
  const first = new Map<string, Promise<void>>();

  async function latestClosed({ token }: Tenant): Promise<{ closed: Year | undefined; next: Year | undefined }> {
    const { text } = await http.send({ method: 'GET', path: '/api/ledger/fiscal-years?limit=200', token });
    const { items } = JSON.parse(text) as { items: readonly Year[] };
    const closed = items.find(({ state }) => state === 'closed');
    return { closed, next: items.findLast(({ year }) => closed === undefined || year > closed.year) };
  }

  function post(path: string, key: string, body: object, tenant: Tenant): Promise<void> {
    return send({ method: 'POST', path, token: tenant.token, key, body: JSON.stringify(body) }, tenant);
  }

  return {
    async inPath(path: string, tenant: Tenant): Promise<string> {
      const step = /^(.*\/fiscal-years\/)\d+\/(close|reopen)$/.exec(path);
      if (step === null) return path;
      const [, before = '', what] = step;
      const begun = first.get(tenant.companyId) ?? begin(tenant, before, what === 'reopen');
      first.set(tenant.companyId, begun);
      await begun;
      const { closed, next } = await latestClosed(tenant);
      return `${before}${(what === 'close' ? next : closed)?.year}/${what}`;
    },
  };

  /** In a company that has closed no year yet. */
  async function begin(tenant: Tenant, path: string, closes: boolean): Promise<void> {
    const { closed, next } = await latestClosed(tenant);
    if (closed !== undefined || next === undefined) return;
    const { text } = await http.send({ method: 'GET', path: '/api/company/settings', token: tenant.token });
    const isOpen = (JSON.parse(text) as { booksClosedThrough: string | null }).booksClosedThrough === null;
    if (isOpen) await post('/api/ledger/entries', `${run}:first-entry`, FIRST_ENTRY, tenant);
    if (!closes) return;
    for (const year of isOpen ? FIRST_YEARS : [next.year]) {
      await post(`${path}${year}/close`, `${run}:year:${year}`, {}, tenant);
    }
  }
}

/** So many can be reopened one after the other. */
const FIRST_YEARS = Array.from({ length: 20 }, (_, index) => 1_900 + index);

/** The operation's first example, which is also in the OpenAPI document. */
function exampleOf(operation: Operation): Example {
  const [example] = operation.examples;
  if (example === undefined) throw new Error(`${operation.name} has no example.`);
  return example;
}

type Seeded = { readonly request: SeedRequest; readonly operation: string; readonly id: string };

function resourceMaker(http: Http, run: string) {
  const seeded = DEMO_SEED.map(toSeeded);
  const made = new Map<string, Promise<string>>();

  /** The request with each demo ID replaced by the ID of its counterpart, which is created first. */
  async function inCompany(request: SeedRequest, tenant: Tenant, copy: string): Promise<Write> {
    const { method, key } = request;
    let [path, body] = [request.path, JSON.stringify(request.body)];
    for (const seed of seeded.filter((one) => isNamed(one, path) || isNamed(one, body))) {
      const id = await counterpart(seed, tenant, copy);
      [path, body] = [renamed(path, seed, id), renamed(body, seed, id)];
    }
    return { method, path, token: tenant.token, key, body };
  }

  function counterpart(seed: Seeded, tenant: Tenant, copy: string): Promise<string> {
    const counterpartKey = `${tenant.companyId}/${copy}/${seed.id}`;
    const known = made.get(counterpartKey) ?? make(seed, tenant, copy);
    made.set(counterpartKey, known);
    return known;
  }

  /** Creates the resource, then changes it as the seed does: the requests that change it have its ID in their path. */
  async function make(seed: Seeded, tenant: Tenant, copy: string): Promise<string> {
    const keyOf = (request: SeedRequest) => `${run}:${request.key}:${copy}`;
    const key = keyOf(seed.request);
    const body = distinct(seed.request.body, key);
    const of = SHARES_NOTHING.has(seed.operation) ? copy : SHARED;
    await send(await inCompany({ ...seed.request, key, body }, tenant, of), tenant);
    const id = writeId(tenant.companyId, seed.operation, key);
    for (const { request } of seeded.filter((other) => isNamed(seed, other.request.path))) {
      const path = renamed(request.path, seed, id);
      // Not shared: a change may use up another resource, such as a matched journal line, so this copy needs its own.
      await send(await inCompany({ ...request, path, key: keyOf(request) }, tenant, copy), tenant);
    }
    return id;
  }

  async function send(write: Write, tenant: Tenant): Promise<void> {
    const { final } = await submitWrite(http, write, { deadlineMs: GIVE_UP_AFTER_MS });
    if (final?.status === 200 || final?.status === 201) return;
    throw new Error(
      `Company ${tenant.companyId} cannot be prepared: ${write.path} was answered ${final?.status} ${final?.text}`,
    );
  }

  return { inCompany, send };
}

function toSeeded(request: SeedRequest): Seeded {
  const operation = OPERATIONS.find(({ method, path }) => method === request.method && matches(path, request.path));
  if (operation === undefined) throw new Error(`Bug! No operation has the seed's path: ${request.path}`);
  return { request, operation: operation.name, id: writeId(DEMO_COMPANY_ID, operation.name, request.key) };
}

/** Whether a text contains the ID of a row that the seed created: its main row or a further one. */
function isNamed({ id }: Seeded, text: string): boolean {
  return namesOf(id).some((name) => text.includes(name));
}

/** The text with the IDs of the seed's rows replaced by those of its counterpart. */
function renamed(text: string, seed: Seeded, counterpartId: string): string {
  const names = namesOf(counterpartId);
  return namesOf(seed.id).reduce((result, name, index) => result.replaceAll(name, names[index] ?? name), text);
}

/** The tables of further rows that examples refer to; a seed creates fewer than `ROWS_OF_A_SEED` in each. */
const FURTHER_ROWS = ['journal_lines', 'bank_transactions'];
const ROWS_OF_A_SEED = 5;

function namesOf(id: string): string[] {
  const positions = Array.from({ length: ROWS_OF_A_SEED }, (_, position) => position);
  return [id, ...FURTHER_ROWS.flatMap((table) => positions.map((position) => rowId(id, table, position)))];
}

function matches(route: string, path: string): boolean {
  return new RegExp(`^${route.replace(/:\w+/g, '[^/]+')}$`).test(path);
}

/** The same body with its unique members made unique by the key. */
function distinct(body: Readonly<Record<string, unknown>>, key: string): Record<string, unknown> {
  // Short, because an account's code has at most 20 characters.
  const suffix = createHash('sha256').update(key).digest('hex').slice(0, 12);
  return JSON.parse(JSON.stringify(body), (name, value) => {
    if (!UNIQUE_MEMBERS.has(name) || typeof value !== 'string') return value;
    return name === 'email' ? value.replace('@', `+${suffix}@`) : `${value}-${suffix}`.slice(-20);
  });
}
