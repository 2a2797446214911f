import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { type Actors, actors, claimByHand } from '../support/actors.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { hire, payRun } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  company = await system.company();
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

const manual = (amount = 5) => ({
  date: '2026-02-10',
  description: 'By hand',
  currency: 'USD',
  lines: [
    { accountCode: '1000', amount },
    { accountCode: '3000', amount: -amount },
  ],
});
const by = (requestId: string) => ({ headers: { 'x-request-id': requestId, prefer: 'wait=60' } });
const entryOf = async (id: string) => (await company.api.get(`/api/ledger/entries/${id}`)).json;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

describe('an entry tells who posted it, when and by which request', () => {
  test('in the answer that makes it, in each list, and when it is read', async () => {
    const entry = await company.as('accountant').created('/api/ledger/entries', manual(), by('of-the-entry'));
    expect(entry).toMatchObject({
      postedBy: company.users.accountant.id,
      approvedBy: null,
      requestId: 'of-the-entry',
      postedAt: expect.stringMatching(INSTANT),
    });
    expect(await entryOf(entry.id)).toEqual(entry);
    expect((await company.api.get('/api/ledger/entries?limit=1')).json.items).toEqual([entry]);
    const [line] = (await company.api.get('/api/ledger/accounts/1000/lines?limit=1')).json.items;
    const { postedBy, approvedBy, requestId, postedAt } = entry;
    expect(line).toMatchObject({ entryId: entry.id, postedBy, approvedBy, requestId, postedAt });

    const mirror = await company
      .as('admin')
      .created(
        `/api/ledger/entries/${entry.id}/reverse`,
        { reason: 'Posted twice', date: '2026-02-11' },
        by('of-the-mirror'),
      );
    expect(mirror).toMatchObject({ postedBy: company.users.admin.id, approvedBy: null, requestId: 'of-the-mirror' });
    expect(await entryOf(mirror.id)).toEqual(mirror);
    // Whoever reverses an entry has not posted it.
    expect(await entryOf(entry.id)).toEqual(entry);
  });

  test('each entry of a set, also in the history of its invoice', async () => {
    const invoiceId = await company.invoice();
    const roles = ['owner', 'accountant', 'admin'] as const;
    const payments = await Promise.all(
      Array.from({ length: 12 }, async (_, n) => {
        const role = roles[n % roles.length] ?? 'owner';
        const { journalEntryId } = await company
          .as(role)
          .created('/api/payments', paymentBody(invoiceId, 1), by(`payment-${n}`));
        return `${journalEntryId} ${company.users[role].id} payment-${n}`;
      }),
    );
    const { entries } = (await company.api.get(`/api/invoices/${invoiceId}`)).json;
    type Entry = { id: string; postedBy: string; requestId: string; source: { operation: string } };
    const told = (entries as Entry[]).filter(({ source }) => source.operation === 'createPayment');
    expect(new Set(told.map(({ id, postedBy, requestId }) => `${id} ${postedBy} ${requestId}`))).toEqual(
      new Set(payments),
    );
  });

  test('that of a pay run also who had approved it', async () => {
    const own = await system.company();
    await hire(own);
    const { id } = await payRun(own, { asDraft: true });
    await own.as('admin').created(`/api/payroll/pay-runs/${id}/approve`, {});
    const { journalEntryId } = await own.as('owner').created(`/api/payroll/pay-runs/${id}/execute`, {});
    const { postedBy, approvedBy } = (await own.api.get(`/api/ledger/entries/${journalEntryId}`)).json;
    expect([postedBy, approvedBy]).toEqual([own.users.owner.id, own.users.admin.id]);
    const [line] = (await own.api.get('/api/ledger/accounts/6000/lines')).json.items;
    expect([line.postedBy, line.approvedBy]).toEqual([own.users.owner.id, own.users.admin.id]);
  });

  test('when its audit rows have left the database, too', async () => {
    const entry = await company.api.created('/api/ledger/entries', manual(), by('of-an-archived-month'));
    const client = await system.owner.connect();
    await client.query("BEGIN; SELECT set_config('session_replication_role', 'replica', true)");
    await client.query('DELETE FROM idempotent_write_audit_log WHERE deterministic_id = $1', [entry.id]);
    await client.query('COMMIT');
    client.release();
    expect(await entryOf(entry.id)).toEqual(entry);
    await system.owner.query(
      `INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, deterministic_id,
         idempotency_key, user_id, status, request_id, route_path, http_method)
       SELECT company_id, operation, type, write_id, idempotency_key, user_id, 'new', request_id, '/api/ledger/entries', 'POST'
       FROM idempotent_writes WHERE write_id = $1`,
      [entry.id],
    );
  });
});

describe('the operation of an entry is that of its write', () => {
  test.each(['application', 'owner'] as const)('the database refuses the %s another one', async (actor) => {
    const posting = (operation: string) =>
      sql.as(actor, company.id, async (client) => {
        const writeId = await claimByHand(client, company.id, company.users.owner.id);
        await client.query(
          `INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description)
           VALUES ($1, $2, $2, $3, '2026-02-10', 'By hand')`,
          [company.id, writeId, operation],
        );
        throw new Error('posted');
      });
    await expect(posting('createPayment')).rejects.toMatchObject({
      code: '23514',
      constraint: 'entry_names_its_operation',
    });
    await expect(posting('byHand')).rejects.toThrow('posted');
  });
});

describe('a write is found by its ID', () => {
  const list = (role: Parameters<Company['as']>[0], writeId: string) =>
    company.as(role).get(`/api/writes?writeId=${writeId}`);

  test('as the one item of the list, which leads from an entry to its request', async () => {
    const entry = await company.api.created('/api/ledger/entries', manual(), { key: 'found', ...by('looked-for') });
    const { items, nextCursor } = (await list('owner', entry.source.writeId.toUpperCase())).json;
    expect(items).toMatchObject([{ key: 'found', writeId: entry.source.writeId, requestId: 'looked-for' }]);
    expect(nextCursor).toBeNull();
    expect((await company.api.get(`/api/writes?writeId=${entry.id}&operation=createPayment`)).json.items).toEqual([]);
  });

  test('not where there is none, in another company or for those who may not read it', async () => {
    const { id } = await company.api.created('/api/ledger/entries', manual());
    const other = await system.company();
    expect((await list('owner', randomUUID())).json).toEqual({ items: [], nextCursor: null });
    expect((await other.api.get(`/api/writes?writeId=${id}`)).json.items).toEqual([]);
    expect((await list('inventory_manager', id)).json.items).toEqual([]);
    expect((await list('manager', id)).json.items).toHaveLength(1);
    expect((await list('employee', id)).status).toBe(403);
  });

  test('and what is no ID is refused', async () => {
    expect(await list('owner', 'found')).toMatchObject({
      status: 422,
      json: { code: 'validation_failed', errors: [{ in: 'query', pointer: '/writeId' }] },
    });
  });
});

test('all of this leaves the controls holding', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
