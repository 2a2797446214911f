import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { fingerprint, rowId, workflowIdOf, writeId } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createWriteList } from '../../api/writes/list.ts';
import { withDatabase } from '../../deploy/cli/command.ts';
import { inParallel } from '../../deploy/cli/in-parallel.ts';
import { openPooledHttp } from '../../deploy/cli/pooled-http.ts';
import { paymentKey, paymentsOf } from '../../deploy/load/benchmark/growth/books.ts';
import { fill } from '../../deploy/load/benchmark/growth/fill.ts';
import { readCounters, scansBetween } from '../../deploy/load/benchmark/growth/scans.ts';
import { dumpSchema } from '../../migrations/schema-dump.ts';
import { createApiClient } from '../support/client.ts';
import { paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';
import { walk } from '../support/walk.ts';
import { measured, type Work } from '../support/work-of-statements.ts';

/** Not the same in each company. */
const SIZE = { companies: 3, keys: 2_003 };

type FilledCompany = { n: number; company_id: string; user_id: string; token: string };

let system: System;
let companies: FilledCompany[];
let schemaBefore: string;
beforeAll(async () => {
  system = await startSystem();
  schemaBefore = await dumpSchema(ownerUrl());
  const original = await system.company();
  const invoiceId = await original.invoice({ total: 1_000_000 });
  await original.api.created('/api/payments', paymentBody(invoiceId, 7));
  const quiet = { signal: new AbortController().signal, log: () => undefined };
  await fill({ ...SIZE, databaseUrl: ownerUrl(), originalId: original.id, ...quiet });
  const { rows } = await system.owner.query('SELECT n, company_id, user_id FROM growth.companies ORDER BY n');
  companies = await Promise.all(
    rows.map(async (row) => ({
      ...row,
      token: await signToken({ userId: row.user_id, companyId: row.company_id }),
    })),
  );
});
afterAll(() => system.stop());

function ownerUrl(): string {
  return system.owner.options.connectionString ?? '';
}

/** What the statements of one page of the list of writes have done. */
async function workOfPage(company: FilledCompany | undefined, query: Record<string, unknown>): Promise<Work> {
  return withDatabase(ownerUrl(), async (session) => {
    await session.query('BEGIN READ ONLY');
    await session.query('SELECT enter_company($1)', [company?.company_id]);
    const { tx, work } = measured({ query: async (text, values) => (await session.query(text, values as [])).rows });
    const cursors = { encode: () => '', decode: () => [] };
    const reader = { companyId: company?.company_id ?? '', userId: company?.user_id ?? '', roles: ['owner'], cursors };
    await createWriteList(OPERATIONS, { url: undefined, namespace: '' }).read(tx, { params: {}, query }, reader);
    return work;
  });
}

function apiOf(company: FilledCompany | undefined) {
  return createApiClient(system.url, company?.token ?? '');
}

describe('a filled database', () => {
  test('has books that are right', async () => {
    expect(await brokenControls(system.owner)).toEqual({});
  });

  test('has the payments of each company under the keys that a client can compute', async () => {
    for (const { n, company_id: companyId } of companies) {
      const { rows } = await system.owner.query(
        "SELECT idempotency_key AS key FROM idempotent_writes WHERE company_id = $1 AND operation = 'createPayment'",
        [companyId],
      );
      const keys = Array.from({ length: paymentsOf(n, SIZE) }, (_, ordinal) => paymentKey(companyId, ordinal));
      expect(new Set(rows.map(({ key }) => key))).toEqual(new Set(keys));
    }
  });

  test('has the IDs and fingerprints that the write path derives', async () => {
    const { rows } = await system.owner.query(
      `SELECT w.*, e.id AS entry_id, o.id AS event_id,
         ARRAY(SELECT l.id::text FROM journal_lines l WHERE l.company_id = w.company_id AND l.entry_id = e.id) AS line_ids
       FROM idempotent_writes w
       JOIN outbox o ON o.company_id = w.company_id AND o.write_id = w.write_id
       LEFT JOIN journal_entries e ON e.company_id = w.company_id AND e.write_id = w.write_id
       WHERE w.company_id = ANY ($1)`,
      [companies.map(({ company_id: id }) => id)],
    );
    expect(rows).toHaveLength(SIZE.keys + SIZE.companies * (1 + 2 * 10));
    for (const { company_id: companyId, operation, idempotency_key: key, ...row } of rows) {
      expect(row.write_id).toBe(writeId(companyId, operation, key));
      expect(row.fingerprint).toBe(fingerprint(operation, row.request));
      expect(row.workflow_id).toBe(workflowIdOf(companyId, key));
      expect(row.event_id).toBe(rowId(row.write_id, 'outbox', 0));
      if (row.entry_id === null) continue;
      expect(row.entry_id).toBe(rowId(row.write_id, 'journal_entries', 0));
      const lineIds = [0, 1].map((position) => rowId(row.write_id, 'journal_lines', position));
      expect(row.line_ids.toSorted()).toEqual(lineIds.toSorted());
    }
  });

  test('replays every key with the bytes of its row', async () => {
    const http = openPooledHttp(system.url, { connections: 16 });
    try {
      for (const { company_id: companyId, token } of companies) {
        const { rows } = await system.owner.query(
          `SELECT operation, idempotency_key AS key, request, status_code AS status, location,
             convert_from(response_body, 'UTF8') AS body
           FROM idempotent_writes WHERE company_id = $1`,
          [companyId],
        );
        await inParallel(16, rows, async ({ operation: name, key, request, status, location, body }) => {
          const operation = OPERATIONS.find((one) => one.name === name);
          const path = operation?.path.replace(/:(\w+)/g, (_, param: string) => request.params[param]) ?? '';
          const write = { method: 'POST', path, token, key, body: JSON.stringify(request.body) } as const;
          const answer = await http.send({ ...write, prefer: 'wait=60' });
          expect(answer).toMatchObject({ status, location, text: body, replayed: true });
        });
      }
    } finally {
      await http.close();
    }
  });

  test('lists what it was filled with, as it was answered', async () => {
    const [company] = companies;
    const payments = paymentsOf(0, SIZE);
    const listed = await walk(apiOf(company), '/api/payments', { limit: 200 });
    const { rows } = await system.owner.query(
      `SELECT convert_from(response_body, 'UTF8')::json AS body FROM idempotent_writes
       WHERE company_id = $1 AND operation = 'createPayment' ORDER BY claimed_at DESC`,
      [company?.company_id],
    );
    expect(listed).toEqual(rows.map(({ body }) => body));
    const writes = await walk(apiOf(company), '/api/writes?operation=createPayment&state=succeeded', { limit: 200 });
    expect(writes).toHaveLength(payments);
    const { json } = await apiOf(company).get(`/api/writes/${paymentKey(company?.company_id ?? '', 0)}`);
    expect(json).toMatchObject({ state: 'succeeded', operation: 'createPayment', response: rows.at(-1)?.body });
  });

  test('finds the writes of a day, all of them, and a page of them by no more than its entries', async () => {
    const [company] = companies;
    const { rows } = await system.owner.query(
      `SELECT entry_date::text AS day, count(*)::int AS entries FROM journal_entries WHERE company_id = $1
       GROUP BY 1 ORDER BY 2 DESC LIMIT 1`,
      [company?.company_id],
    );
    const [{ day, entries }] = rows;
    expect(entries).toBeGreaterThan(500);
    const found = await walk(apiOf(company), `/api/writes?postedOn=${day}`, { limit: 200 });
    expect(new Set(found.map(({ key }) => key)).size).toBe(entries);
    const work = await workOfPage(company, { postedOn: day, limit: 10 });
    expect(work.rows).toBeLessThan(100);
  });

  test('has invoices whose answer at their finalization gives their number', async () => {
    const { rows } = await system.owner.query(
      `SELECT i.number, convert_from(w.response_body, 'UTF8')::json ->> 'number' AS told
       FROM idempotent_writes w JOIN invoices i ON i.company_id = w.company_id AND i.id::text = w.resource_id
       WHERE w.company_id = $1 AND w.operation = 'finalizeInvoice' ORDER BY i.number`,
      [companies[0]?.company_id],
    );
    expect(rows.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for (const { number, told } of rows) expect(told).toBe(`INV-${String(number).padStart(6, '0')}`);
  });

  test('goes on as if it had never done anything else', async () => {
    const api = apiOf(companies[1]);
    const [newest] = (await api.get('/api/invoices?limit=1')).json.items;
    expect(newest).toMatchObject({ number: 'INV-000010', status: 'partially_paid' });
    await api.created('/api/payments', paymentBody(newest.id, 3));
    const { customerId, currency } = newest;
    const lines = [{ description: 'Work', quantity: '1', unitPrice: 100 }];
    const dates = { issueDate: '2026-01-15', dueDate: '2026-12-31' };
    const draft = await api.created('/api/invoices', { customerId, currency, ...dates, lines });
    expect(await api.created(`/api/invoices/${draft.id}/finalize`, {})).toMatchObject({
      number: 'INV-000011',
    });
    expect(await brokenControls(system.owner)).toEqual({});
  });

  test('has no event that the relay would hand on', async () => {
    const { rows } = await system.owner.query(
      'SELECT count(*)::int AS events FROM outbox WHERE company_id = $1 AND sequence IS NULL',
      [companies[0]?.company_id],
    );
    expect(rows).toEqual([{ events: 0 }]);
  });

  test('tells of a table that is read from end to end', async () => {
    const before = await withDatabase(ownerUrl(), readCounters);
    await withDatabase(ownerUrl(), (session) => session.query('SELECT sum(amount_minor) FROM journal_lines'));
    const after = await withDatabase(ownerUrl(), readCounters);
    const scans = scansBetween(before, after, SIZE.keys).map(({ table, sequential }) => [table, sequential]);
    expect(Object.fromEntries(scans)).toEqual({
      idempotent_write_audit_log: 0,
      idempotent_writes: 0,
      journal_entries: 0,
      journal_lines: 1,
      outbox: 0,
      payments: 0,
    });
  });

  test('has its schema again, but for how full its indexes are', async () => {
    await system.owner.query('DROP SCHEMA growth CASCADE; DROP EXTENSION "uuid-ossp"');
    const schema = await dumpSchema(ownerUrl());
    expect(schema.replaceAll(" WITH (fillfactor='70')", '')).toBe(schemaBefore);
  });
});
