import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RECORD_CHECKS } from '../../activities/auditor/checks.ts';
import { ALL_KINDS, FINDING_KINDS, type Finding } from '../../activities/auditor/finding.ts';
import { writesCheck } from '../../activities/auditor/writes-check.ts';
import { openFileJournal } from '../../deploy/operator/audit-verify/file-journal.ts';
import { runsCheck } from '../../worker/auditor/runs-check.ts';
import { auditIn, kindsOf } from '../support/audit.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { keepBooks } from '../support/kept-books.ts';
import { type System, startSystem } from '../support/system.ts';
import {
  addLines,
  COMPANY,
  differenceEntry,
  entry,
  inRolledBackTransaction,
  invoice,
  lonelyCustomer,
  member,
} from '../support/tampering.ts';

const LONELY = `write_id = ${lonelyCustomer()}`;
const RENT = `write_id = ${entry('rent')}`;

/** A second row, of the columns that `changed` does not name, past the constraints that keep it out. */
function copy(table: string, where: string, changed: Readonly<Record<string, string>> = {}): string {
  const values = Object.entries(changed).map(([column, sql]) => `'${column}', ${sql}`);
  return `INSERT INTO ${table} SELECT (jsonb_populate_record(t, jsonb_build_object(${values.join(', ')}))).* FROM ${table} t WHERE ${where}`;
}

const LINES = [
  ['3000', 1],
  ['4000', -1],
] as const;

/**
 * What the owner of the database can do past the triggers, and what the auditor calls it. Behind the first kind stand those that
 * follow from it.
 */
const PLANTS: Readonly<Record<string, readonly [sql: string, kinds: readonly string[]]>> = {
  'the row that a write has made is deleted': [`DELETE FROM customers WHERE name = 'Lonely'`, ['business-row-missing']],
  'a customer is added': [
    copy('customers', `name = 'Lonely'`, { id: 'gen_random_uuid()' }),
    ['business-row-without-write'],
  ],
  'a row is given the ID of a write that has made another kind of row': [
    `INSERT INTO employees (company_id, id, first_name, last_name, email, annual_salary_minor, currency, pay_frequency,
       tax_rate_basis_points)
     SELECT company_id, id, 'Ghost', 'Writer', 'ghost@example.test', 100000000, 'USD', 'monthly', 0
     FROM customers WHERE name = 'Lonely'`,
    ['business-row-without-write'],
  ],
  'a row is there twice': [
    `ALTER TABLE customers DROP CONSTRAINT customers_pkey CASCADE; ${copy('customers', `name = 'Lonely'`)}`,
    ['business-row-doubled'],
  ],
  'the row of a write is deleted': [
    `DELETE FROM idempotent_writes WHERE ${LONELY}`,
    ['business-row-without-write', 'audit-row-without-write', 'event-without-write'],
  ],
  'the row of a write is there twice': [
    `ALTER TABLE idempotent_writes DROP CONSTRAINT idempotent_writes_pkey;
     ALTER TABLE idempotent_writes DROP CONSTRAINT idempotent_writes_write_id_key;
     ALTER TABLE idempotent_writes DROP CONSTRAINT idempotent_writes_company_write_id_key CASCADE;
     ${copy('idempotent_writes', LONELY)}`,
    ['write-doubled'],
  ],
  'a write is copied under another key': [
    `ALTER TABLE idempotent_writes DROP CONSTRAINT idempotent_writes_write_id_key;
     ALTER TABLE idempotent_writes DROP CONSTRAINT idempotent_writes_company_write_id_key CASCADE;
     ${copy('idempotent_writes', LONELY, { idempotency_key: `'copied'` })}`,
    ['write-doubled', 'write-id-altered', 'audit-row-missing', 'audit-row-altered'],
  ],
  'the key of a write is changed': [
    `UPDATE idempotent_writes SET idempotency_key = 'by hand' WHERE ${LONELY}`,
    ['write-id-altered', 'audit-row-missing', 'audit-row-altered'],
  ],
  'the outcome of a write is taken away': [
    `UPDATE idempotent_writes SET outcome = NULL, status_code = NULL, response_body = NULL, completed_at = NULL WHERE ${LONELY}`,
    ['write-unfinished', 'business-row-without-write'],
  ],
  'a success is called a rejection': [
    `UPDATE idempotent_writes SET outcome = 'rejected', status_code = 409,
       response_body = convert_to('{"status": 409, "code": "by_hand"}', 'UTF8') WHERE ${LONELY}`,
    ['business-row-without-write', 'audit-row-missing', 'audit-row-without-write', 'event-without-write'],
  ],
  'the status of a stored rejection is changed': [
    `UPDATE idempotent_writes SET status_code = 403 WHERE outcome = 'rejected'`,
    ['answer-altered'],
  ],
  'an event is deleted': [`DELETE FROM outbox WHERE ${LONELY}`, ['event-missing']],
  'an event is added': [
    copy('outbox', LONELY, { id: 'gen_random_uuid()', write_id: 'gen_random_uuid()', sequence: 'NULL' }),
    ['event-without-write'],
  ],
  'an event is there twice': [
    `ALTER TABLE outbox DROP CONSTRAINT outbox_one_event_a_write;
     ${copy('outbox', LONELY, { id: 'gen_random_uuid()', sequence: 'NULL' })}`,
    ['event-doubled'],
  ],
  'an event names another resource': [
    `UPDATE outbox SET payload = jsonb_set(payload, '{resource,id}', '"by hand"') WHERE ${LONELY}`,
    ['event-altered'],
  ],
  'the audit row of a success is deleted': [
    `DELETE FROM idempotent_write_audit_log WHERE deterministic_id = ${lonelyCustomer()}`,
    ['audit-row-missing'],
  ],
  'the audit row of a rejection is deleted': [
    `DELETE FROM idempotent_write_audit_log WHERE error_code = 'payment_exceeds_outstanding'`,
    ['audit-row-missing'],
  ],
  'the audit row of a cancelled key is deleted': [
    `DELETE FROM idempotent_write_audit_log WHERE error_code = 'write_cancelled'`,
    ['audit-row-missing'],
  ],
  'an audit row is there twice': [
    copy('idempotent_write_audit_log', `deterministic_id = ${lonelyCustomer()}`, { id: '0' }),
    ['audit-row-doubled'],
  ],
  'an audit row is there again, long ago': [
    copy('idempotent_write_audit_log', `deterministic_id = ${lonelyCustomer()}`, { timestamp: `'2020-01-01'::text` }),
    ['audit-row-doubled'],
  ],
  'an audit row calls a write new that is none': [
    copy('idempotent_write_audit_log', `deterministic_id = ${lonelyCustomer()}`, {
      id: '0',
      deterministic_id: 'gen_random_uuid()',
      idempotency_key: `'none'`,
    }),
    ['audit-row-without-write'],
  ],
  'an audit row calls a key cancelled that is not': [
    copy('idempotent_write_audit_log', `error_code = 'write_cancelled'`, { id: '0', idempotency_key: `'none'` }),
    ['audit-row-without-write'],
  ],
  'an audit row names another request': [
    `UPDATE idempotent_write_audit_log SET request_id = 'by hand' WHERE deterministic_id = ${lonelyCustomer()}`,
    ['audit-row-altered'],
  ],
  'an audit row names another user': [
    `UPDATE idempotent_write_audit_log SET user_id = ${member('admin')} WHERE deterministic_id = ${lonelyCustomer()}`,
    ['authors'],
  ],
  'the audit row of a lost write is deleted': [
    `DELETE FROM idempotent_write_audit_log WHERE error_code = 'write_record_missing'`,
    ['losses-told'],
  ],
  'an entry is deleted, with its lines': [
    `DELETE FROM journal_lines WHERE entry_id = ${entry('rent')}; DELETE FROM journal_entries WHERE ${RENT}`,
    ['business-row-missing', 'entry-missing', 'entry-answers'],
  ],
  'an entry is deleted, and its lines are left': [
    `DELETE FROM journal_entries WHERE ${RENT}`,
    ['business-row-missing', 'entry-missing', 'entry-without-write'],
  ],
  'an entry of no write is added': [
    `${copy('journal_entries', RENT, { id: `'00000000-0000-4000-8000-000000000001'`, write_id: `'00000000-0000-4000-8000-000000000001'` })};
     ${addLines(`'00000000-0000-4000-8000-000000000001'`, LINES)}`,
    ['entry-without-write'],
  ],
  'an entry is posted for a write that posts none': [
    `${copy('journal_entries', RENT, { id: `'00000000-0000-4000-8000-000000000001'`, write_id: lonelyCustomer(), operation: `'createCustomer'`, created_at: `(SELECT claimed_at FROM idempotent_writes WHERE ${LONELY})` })};
     ${addLines(`'00000000-0000-4000-8000-000000000001'`, LINES)}`,
    ['entry-without-write'],
  ],
  'a write has two entries': [
    `ALTER TABLE journal_entries DROP CONSTRAINT journal_entries_one_a_write;
     ${copy('journal_entries', RENT, { id: `'00000000-0000-4000-8000-000000000001'` })};
     ${addLines(`'00000000-0000-4000-8000-000000000001'`, LINES)}`,
    ['entry-doubled', 'entry-altered'],
  ],
  'an entry says that another operation has posted it': [
    `UPDATE journal_entries SET operation = 'createJournalEntry' WHERE description = 'undone'`,
    ['entry-altered'],
  ],
  'an entry is out of balance': [
    `UPDATE journal_lines SET amount_minor = amount_minor + 1 WHERE entry_id = ${entry('rent')} AND line_number = 1`,
    ['entries-balance', 'trial-balance', 'entry-answers'],
  ],
  'an invoice has another number': [
    'UPDATE invoices SET number = number + 1 WHERE number = (SELECT max(number) FROM invoices)',
    ['invoice-numbers', 'invoice-answers'],
  ],
  'a receipt has another number': [
    `UPDATE payments SET number = number + 1 WHERE reference = 'kept'`,
    ['payment-numbers', 'payment-answers'],
  ],
  'a credit note has another number': [
    `UPDATE credit_notes SET number = number + 1 WHERE reason = 'Not agreed'`,
    ['credit-note-numbers', 'credit-note-answers'],
  ],
  'a refund has another number': [
    `UPDATE refunds SET number = number + 1 WHERE reason = 'Never paid out'`,
    ['refund-numbers', 'refund-answers'],
  ],
  'a number is given to nobody': [
    `UPDATE number_counters SET last_number = last_number + 3, lost_numbers = lost_numbers + 3 WHERE kind = 'payment'`,
    ['losses-told'],
  ],
  'a stored answer says another amount than the payment': [
    `UPDATE idempotent_writes SET response_body = convert_to(
       (convert_from(response_body, 'UTF8')::jsonb || '{"amount": 1}')::text, 'UTF8')
     WHERE write_id = (SELECT id FROM payments WHERE reference = 'second')`,
    ['payment-answers'],
  ],
  'a payment is of another invoice': [
    `UPDATE payments SET invoice_id = ${invoice('open')} WHERE reference = 'second'`,
    ['invoice-paid', 'payment-answers'],
  ],
  'an owner is added': [
    `UPDATE memberships SET roles = '{owner}' WHERE company_id = ${COMPANY} AND roles = '{employee}'`,
    ['access-answers'],
  ],
  'a setting is changed': [
    `UPDATE companies SET name = 'By hand' WHERE id = ${COMPANY}`,
    ['settings-answers', 'settings-history'],
  ],
  'a difference with the bank is of another day': [
    `UPDATE journal_entries SET entry_date = '2027-01-01' WHERE id = ${differenceEntry('A charge')}`,
    ['differences-posted'],
  ],
};

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  await system.company('Neighbour Ltd');
  company = await system.company();
  await keepBooks(company, system.owner);
});
afterAll(() => system.stop());

describe('the auditor', () => {
  test('finds nothing in books that nobody has tampered with, and says what it has looked at', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      const { named, couldNotAsk, checked } = await auditIn(client);
      expect(named).toEqual([]);
      expect(couldNotAsk).toEqual([]);
      const count = async (table: string) => (await client.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n;
      expect(checked).toMatchObject({
        companies: 0,
        writes: await count('idempotent_writes'),
        entries: await count('journal_entries'),
        events: await count('outbox'),
        seals: 0,
      });
    });
  });

  test.each(Object.entries(PLANTS))('%s', async (_, [plant, kinds]) => {
    await inRolledBackTransaction(system.owner, async (client) => {
      const results = [await client.query(plant)].flat().filter(({ command }) => command !== 'ALTER');
      for (const { rowCount } of results) expect(rowCount).not.toBe(0);
      const { named, couldNotAsk } = await auditIn(client);
      expect(kindsOf(named)).toEqual(kinds.toSorted());
      expect(couldNotAsk).toEqual([]);
    });
  });

  test('names the rows without a run, and the completed runs without a row, alone and as items of a group', async () => {
    const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] ?? '';
    const checks = [runsCheck({ client: system.temporal, taskQueue, lagMs: 0 })];
    // With keys, since what comes without is made without a request.
    const made = (n: number) => company.api.created('/api/customers', { name: `C${n}` }, { key: `customer-${n}` });
    await Promise.all(Array.from({ length: 40 }, (_, n) => made(n)));
    await inRolledBackTransaction(system.owner, async (client) => {
      // What tests begin with was made without a run.
      await client.query(`UPDATE idempotent_writes SET workflow_id = NULL WHERE workflow_id LIKE 'prepared:%'`);
      expect(await auditIn(client, { checks })).toMatchObject({ named: [], couldNotAsk: [] });
      await client.query("UPDATE idempotent_writes SET workflow_id = 'by hand' WHERE idempotency_key = 'customer-0'");
      const { named } = await auditIn(client, { checks });
      expect(named).toMatchObject([{ kind: 'row-without-run', detail: expect.stringContaining('by hand') }]);

      const { rows } = await client.query(
        `DELETE FROM idempotent_writes WHERE outcome IN ('succeeded', 'rejected') AND workflow_id IS NOT NULL
         RETURNING workflow_id LIKE 'group:%' AS grouped`,
      );
      expect(rows.map(({ grouped }) => grouped)).toEqual(expect.arrayContaining([true, false]));
      // The list of runs lags behind the runs.
      await until('each run to be listed', async () => {
        const found = (await auditIn(client, { checks })).named.filter(({ kind }) => kind === 'run-without-row');
        return found.length === rows.length;
      });
      expect((await auditIn(client, { checks, company: 'Neighbour Ltd' })).named).toEqual([]);
    });
  });

  test('comes to the same by pages of any size, and when it goes on after an interruption', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query(`DELETE FROM outbox WHERE ${LONELY}`);
      const whole = await auditIn(client, { checks: RECORD_CHECKS });
      const checks = [writesCheck({ writesAPage: 7 }), ...RECORD_CHECKS.slice(1)];
      expect(await auditIn(client, { checks })).toEqual(whole);
      const of = `a test of ${company.id}`;
      const first = await openFileJournal(of, { resume: false });
      await expect(auditIn(client, { checks, journal: first, stopAfter: 9 })).rejects.toThrow('Stopped by the test');
      const second = await openFileJournal(of, { resume: true });
      expect(second.resumed).toBe(true);
      expect(second.tally.checked.writes).toBeGreaterThan(0);
      expect(second.tally.checked.writes).toBeLessThan(whole.checked.writes);
      await auditIn(client, { checks, journal: second });
      expect(second.tally).toEqual({ checked: whole.checked, findings: whole.findings, couldNotAsk: [] });
      const found: Finding[] = [];
      for await (const finding of second.findings()) found.push(finding);
      expect(found).toEqual(whole.named);
      second.remove();
      expect((await openFileJournal(of, { resume: true })).resumed).toBe(false);
    });
  });

  test('names an answer that is no JSON, and what could not be asked because of it', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query(`UPDATE idempotent_writes SET response_body = 'garbage' WHERE ${LONELY}`);
      const { named, couldNotAsk, checked } = await auditIn(client, { checks: RECORD_CHECKS });
      expect(named).toMatchObject([
        { kind: 'answer-altered', table: 'idempotent_writes', detail: 'The stored answer is no JSON.' },
      ]);
      expect(couldNotAsk).toEqual([]);
      const { rows } = await client.query('SELECT count(*)::int AS n FROM idempotent_writes');
      expect(checked.writes).toBe(rows[0].n);
    });
  });

  test('tells where to read on of each kind that it has found', () => {
    const found = new Set(Object.values(PLANTS).flatMap(([, kinds]) => kinds));
    // Those of the seal are planted in the tests of the seal.
    const missed = Object.entries(FINDING_KINDS)
      .filter(([kind, section]) => !found.has(kind) && section !== 'finding-the-seal-does-not-hold')
      .map(([kind]) => kind);
    expect(missed).toEqual(['run-without-row', 'row-without-run']);
    expect(ALL_KINDS).toEqual(expect.arrayContaining([...found]));
  });
});
