import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Actor,
  type Actors,
  actors,
  addLineByHand,
  claimByHand,
  postByHand,
  rejectByHand,
} from '../support/actors.ts';
import { reconciledBankTransaction } from '../support/bank.ts';
import { batchClient } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';
import { takeBack } from '../support/take-back.ts';
import { writeOffByHand } from '../support/write-off-by-hand.ts';

/** SQLSTATEs (PostgreSQL, appendix A). */
const REFUSED_BY_PRIVILEGE = '42501';
const REFUSED_BY_TRIGGER = '23001';

let system: System;
let company: Company;
let sql: Actors;
let entryId: string;
beforeAll(async () => {
  system = await startSystem();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  company = await system.company();
  const payment = await company.api.created('/api/payments', paymentBody(await company.invoice()));
  entryId = payment.journalEntryId;
  await takeBack(company, payment);
  await writeOffByHand(sql, company, payment);
  await reconciledBankTransaction(company.api);
  await batchClient(system, company).send('{"body":{}}', { key: 'sent', operation: 'createCustomer' });
  await system.owner.query(
    "INSERT INTO security_log (company_id, event, reason) VALUES ($1, 'access_refused', 'forbidden')",
    [company.id],
  );
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

/** What an issued document may still change, by table. A column that is added to one belongs into its trigger, or here. */
const MAY_CHANGE: Readonly<Record<string, readonly string[]>> = {
  invoices: ['paid_minor', 'credited_minor', 'written_off_minor', 'last_raised_on', 'voided_on', 'void_reason'],
  invoice_lines: [],
  payments: ['refunded_minor', 'voided_on', 'void_reason', 'void_entry_id', 'bounced'],
  credit_notes: ['voided_on', 'void_reason', 'void_entry_id'],
  credit_note_lines: [],
  refunds: ['voided_on', 'void_reason', 'void_entry_id'],
  write_offs: ['recovered_on', 'recover_reason', 'recover_entry_id'],
  accounts: ['name'],
  journal_entries: [],
  journal_lines: [],
  bank_transactions: ['reconciled_by'],
  bank_matches: ['undone_by'],
};

/** All but those that are computed. */
async function columnsOf(table: string): Promise<string[]> {
  const { rows } = await system.owner.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`,
    [table],
  );
  return rows.map(({ name }) => name);
}

const attempt = (actor: Actor, statement: string) =>
  sql.as(actor, company.id, async (client) => {
    const { rowCount } = await client.query(statement);
    throw new Error(`not refused; ${rowCount} rows`);
  });

describe('what has happened stays as it is', () => {
  test.each([
    ['a journal line', 'UPDATE journal_lines SET amount_minor = amount_minor + 1'],
    ['a journal line', 'DELETE FROM journal_lines'],
    ['all journal lines', 'TRUNCATE journal_lines CASCADE'],
    ['a journal entry', "UPDATE journal_entries SET entry_date = '2026-06-01'"],
    ['a journal entry', 'UPDATE journal_entries SET created_xid = pg_current_xact_id()'],
    ['a journal entry', 'DELETE FROM journal_entries'],
    ['all journal entries', 'TRUNCATE journal_entries CASCADE'],
    ['an audit row', "UPDATE idempotent_write_audit_log SET status = 'failed'"],
    ['an audit row', 'DELETE FROM idempotent_write_audit_log'],
    ['the audit log', 'TRUNCATE idempotent_write_audit_log'],
    ['a row of the security log', "UPDATE security_log SET reason = 'other'"],
    ['a row of the security log', 'DELETE FROM security_log'],
    ['the security log', 'TRUNCATE security_log'],
    ['a write', "UPDATE idempotent_writes SET request_id = 'other'"],
    ['a write', 'DELETE FROM idempotent_writes'],
    ['all writes', 'TRUNCATE idempotent_writes CASCADE'],
    ['an event', 'DELETE FROM outbox'],
    ['all events', 'TRUNCATE outbox'],
    ['a line of an invoice', 'UPDATE invoice_lines SET net_minor = net_minor'],
    ['a line of an invoice', 'DELETE FROM invoice_lines'],
    ['all lines of invoices', 'TRUNCATE invoice_lines CASCADE'],
    ['an invoice', 'DELETE FROM invoices'],
    ['all invoices', 'TRUNCATE invoices CASCADE'],
    ['a payment', 'DELETE FROM payments'],
    ['all payments', 'TRUNCATE payments CASCADE'],
    ['an account', 'DELETE FROM accounts'],
    ['all accounts', 'TRUNCATE accounts CASCADE'],
    ['a credit note', 'UPDATE credit_notes SET reason = reason'],
    ['a credit note', 'DELETE FROM credit_notes'],
    ['all credit notes', 'TRUNCATE credit_notes CASCADE'],
    ['a line of a credit note', 'UPDATE credit_note_lines SET net_minor = net_minor'],
    ['a line of a credit note', 'DELETE FROM credit_note_lines'],
    ['all lines of credit notes', 'TRUNCATE credit_note_lines'],
    ['a write-off', 'UPDATE write_offs SET amount_minor = amount_minor'],
    ['a write-off', 'DELETE FROM write_offs'],
    ['all write-offs', 'TRUNCATE write_offs'],
    ['a refund', 'UPDATE refunds SET amount_minor = amount_minor'],
    ['a refund', 'DELETE FROM refunds'],
    ['all refunds', 'TRUNCATE refunds'],
    ['a reminder', 'UPDATE invoice_reminders SET step = step'],
    ['a reminder', 'DELETE FROM invoice_reminders'],
    ['all reminders', 'TRUNCATE invoice_reminders'],
    ['a bank transaction', 'UPDATE bank_transactions SET amount_minor = amount_minor + 1'],
    ['a bank transaction', 'DELETE FROM bank_transactions'],
    ['all bank transactions', 'TRUNCATE bank_transactions CASCADE'],
    ['a match', 'UPDATE bank_matches SET bank_transaction_id = NULL'],
    ['a match', 'DELETE FROM bank_matches'],
    ['all matches', 'TRUNCATE bank_matches'],
    ['a batch', 'DELETE FROM batches'],
    ['all batches', 'TRUNCATE batches CASCADE'],
    ['the rows of all batches', 'TRUNCATE batch_chunks'],
  ])('%s: "%s" is refused, to the application by privilege, to the owner by trigger', async (_what, statement) => {
    await expect(attempt('application', statement)).rejects.toMatchObject({ code: REFUSED_BY_PRIVILEGE });
    await expect(attempt('owner', statement)).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
  });

  test.each(Object.entries(MAY_CHANGE))(
    'each column of %s is kept from change, but %j: from the application by privilege or trigger, from the owner by trigger',
    async (table, changeable) => {
      const kept = (await columnsOf(table)).filter((column) => !changeable.includes(column));
      expect(kept.length).toBeGreaterThan(0);
      const issued = table === 'invoices' ? ' WHERE number IS NOT NULL' : '';
      for (const column of kept) {
        const statement = `UPDATE ${table} SET ${column} = ${column}${issued}`;
        await expect(attempt('owner', statement), column).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
        await expect(attempt('application', statement), column).rejects.toMatchObject({
          code: expect.toBeOneOf([REFUSED_BY_PRIVILEGE, REFUSED_BY_TRIGGER]),
        });
      }
    },
  );

  test.each<Actor>(['application', 'owner'])('a void invoice stays void, also for the %s', async (actor) => {
    const invoiceId = await company.invoice();
    await company.api.created(`/api/invoices/${invoiceId}/void`, { reason: 'Never ordered', date: '2026-12-31' });
    for (const change of [
      'voided_on = NULL, void_reason = NULL',
      'voided_on = voided_on + 1',
      "void_reason = 'Other'",
    ]) {
      const statement = `UPDATE invoices SET ${change} WHERE id = '${invoiceId}'`;
      await expect(attempt(actor, statement)).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
    }
  });

  test.each<Actor>(['application', 'owner'])(
    'an invoice with a number gets no further line, not even one that costs nothing, from the %s',
    async (actor) => {
      const adding = attempt(
        actor,
        `INSERT INTO invoice_lines SELECT (jsonb_populate_record(l,
           '{"line_number": 200, "unit_price_minor": 0, "net_minor": 0, "tax_minor": 0}')).*
         FROM invoice_lines l JOIN invoices i ON i.company_id = l.company_id AND i.id = l.invoice_id
         WHERE i.number IS NOT NULL LIMIT 1`,
      );
      await expect(adding).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
    },
  );

  test.each<Actor>(['application', 'owner'])('a credit note gets no further line from the %s', async (actor) => {
    const invoice = await company.api.created('/api/invoices', {
      customerId: await company.customer(),
      currency: 'USD',
      issueDate: '2026-01-15',
      dueDate: '2026-12-31',
      lines: ['First', 'Second'].map((description) => ({ description, quantity: '1', unitPrice: 100 })),
    });
    await company.api.created(`/api/invoices/${invoice.id}/finalize`, {});
    const note = await company.api.created(`/api/invoices/${invoice.id}/credit-notes`, {
      lines: [{ lineNumber: 1, net: 1 }],
      reason: 'A discount',
      date: '2026-12-31',
    });
    const adding = attempt(
      actor,
      `INSERT INTO credit_note_lines (company_id, credit_note_id, invoice_id, line_number, net_minor, tax_minor)
       VALUES ('${company.id}', '${note.id}', '${invoice.id}', 2, 1, 0)`,
    );
    await expect(adding).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
  });

  test.each<Actor>(['application', 'owner'])(
    'the outcome of a finished write is not changed by the %s',
    async (actor) => {
      await expect(attempt(actor, "UPDATE idempotent_writes SET outcome = 'rejected'")).rejects.toMatchObject({
        code: REFUSED_BY_TRIGGER,
      });
      await expect(attempt(actor, "UPDATE idempotent_writes SET response_body = ''")).rejects.toMatchObject({
        code: REFUSED_BY_TRIGGER,
      });
    },
  );

  test('a month of the audit log is not emptied by the name of its partition', async () => {
    const { rows } = await system.owner.query<{ partition: string }>(
      `SELECT DISTINCT tableoid::regclass::text AS partition FROM idempotent_write_audit_log
       UNION ALL SELECT 'audit_partitions.fallback'`,
    );
    expect(rows.length).toBeGreaterThan(1);
    for (const { partition } of rows) {
      await expect(attempt('owner', `TRUNCATE ${partition}`)).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
      await expect(attempt('application', `TRUNCATE ${partition}`)).rejects.toMatchObject({
        code: REFUSED_BY_PRIVILEGE,
      });
    }
    const [month] = rows;
    await expect(attempt('owner', `DELETE FROM ${month?.partition}`)).rejects.toMatchObject({
      code: REFUSED_BY_TRIGGER,
    });
  });

  test.each([
    "UPDATE accounts SET name = 'Other'",
    'UPDATE companies SET version = version',
    'UPDATE companies SET webhook_secret_rotated_at = NULL',
    'UPDATE memberships SET user_id = user_id',
    'UPDATE outbox SET delivered_at = now()',
  ])('"%s" is beyond the application', async (statement) => {
    await expect(attempt('application', statement)).rejects.toMatchObject({ code: REFUSED_BY_PRIVILEGE });
  });
});

describe.each<Actor>(['application', 'owner'])('an entry is whole or is not there, also for the %s', (actor) => {
  /** A write with its outcome, and what `work` adds to it, committed in one go. */
  const write = (work: (...args: Parameters<typeof claimByHand>) => Promise<unknown>) =>
    sql.as(actor, company.id, (client) => work(client, company.id, company.users.owner.id));

  test('a balanced one is taken', async () => {
    const committing = write(async (client, companyId, userId) => {
      const writeId = await claimByHand(client, companyId, userId);
      await postByHand(client, companyId, writeId, [
        ['1000', 7, 'USD'],
        ['3000', -7, 'USD'],
      ]);
      await rejectByHand(client, companyId, writeId);
    });
    await expect(committing).resolves.toBeUndefined();
  });

  test.each<[string, [string, number, string][], string]>([
    [
      'that does not sum to zero',
      [
        ['1000', 7, 'USD'],
        ['3000', -6, 'USD'],
      ],
      'journal_entry_balanced',
    ],
    [
      'that sums to zero only across currencies',
      [
        ['1000', 7, 'USD'],
        ['3000', -7, 'EUR'],
      ],
      'journal_entry_balanced',
    ],
    ['of one line', [['1000', 7, 'USD']], 'journal_entry_balanced'],
    ['without lines', [], 'journal_entry_has_lines'],
  ])('one %s is refused at the commit', async (_what, lines, constraint) => {
    const committing = write(async (client, companyId, userId) => {
      const writeId = await claimByHand(client, companyId, userId);
      await postByHand(client, companyId, writeId, lines);
      await rejectByHand(client, companyId, writeId);
    });
    await expect(committing).rejects.toMatchObject({ code: '23514', constraint });
  });

  test('a line of zero is refused', async () => {
    const committing = write(async (client, companyId, userId) => {
      const writeId = await claimByHand(client, companyId, userId);
      await postByHand(client, companyId, writeId, [['1000', 0, 'USD']]);
    });
    await expect(committing).rejects.toMatchObject({ code: '23514' });
  });

  test('a line added after the check in its own transaction is checked again', async () => {
    const committing = write(async (client, companyId, userId) => {
      const writeId = await claimByHand(client, companyId, userId);
      const entry = await postByHand(client, companyId, writeId, [
        ['1000', 7, 'USD'],
        ['3000', -7, 'USD'],
      ]);
      await rejectByHand(client, companyId, writeId);
      await client.query('SET CONSTRAINTS ALL IMMEDIATE');
      await client.query('SET CONSTRAINTS ALL DEFERRED');
      await addLineByHand(client, companyId, entry, { lineNumber: 3, code: '1000', amountMinor: 1, currency: 'USD' });
    });
    await expect(committing).rejects.toMatchObject({ code: '23514', constraint: 'journal_entry_balanced' });
  });

  test('lines cannot be added to an old entry, not even two that balance', async () => {
    const adding = write(async (client, companyId) => {
      for (const [lineNumber, amountMinor] of [
        [3, 1],
        [4, -1],
      ] as const) {
        await addLineByHand(client, companyId, entryId, { lineNumber, code: '1000', amountMinor, currency: 'USD' });
      }
    });
    await expect(adding).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
  });

  test('one write has one entry at most', async () => {
    const committing = write(async (client, companyId, userId) => {
      const writeId = await claimByHand(client, companyId, userId);
      for (const _ of [1, 2]) {
        await postByHand(client, companyId, writeId, [
          ['1000', 7, 'USD'],
          ['3000', -7, 'USD'],
        ]);
      }
    });
    await expect(committing).rejects.toMatchObject({ code: '23505', constraint: 'journal_entries_one_a_write' });
  });
});

describe.each<Actor>(['application', 'owner'])('a write is whole or is not there, also for the %s', (actor) => {
  test('without an outcome it cannot be committed', async () => {
    const committing = sql.as(actor, company.id, (client) => claimByHand(client, company.id, company.users.owner.id));
    await expect(committing).rejects.toMatchObject({ code: '23000' });
  });

  test('it has one event at most', async () => {
    const telling = sql.as(actor, company.id, async (client) => {
      const writeId = await claimByHand(client, company.id, company.users.owner.id);
      for (const _event of [1, 2]) {
        await client.query(
          `INSERT INTO outbox (id, company_id, write_id, kind, payload)
           VALUES (gen_random_uuid(), $1, $2, 'payment.created', '{}')`,
          [company.id, writeId],
        );
      }
    });
    await expect(telling).rejects.toMatchObject({ code: '23505', constraint: 'outbox_one_event_a_write' });
  });

  test('its outcome is given once', async () => {
    const committing = sql.as(actor, company.id, async (client) => {
      const writeId = await claimByHand(client, company.id, company.users.owner.id);
      await rejectByHand(client, company.id, writeId);
      await rejectByHand(client, company.id, writeId);
    });
    await expect(committing).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
  });

  test.each([
    "idempotency_key = 'another'",
    'write_id = gen_random_uuid()',
    'submission_id = gen_random_uuid()',
    "operation = 'createRefund'",
    "type = CASE type WHEN 'financial' THEN 'high-risk' ELSE 'financial' END",
    "fingerprint = repeat('1', 64)",
    'schema_version = schema_version + 1',
    `request = '{"params":{},"body":{"changed":true}}'`,
    "request_id = 'another'",
  ])('what was asked is not changed on the way to the outcome: %s', async (change) => {
    const changing = sql.as(actor, company.id, async (client) => {
      const writeId = await claimByHand(client, company.id, company.users.owner.id);
      await client.query(`UPDATE idempotent_writes SET ${change} WHERE idempotency_key = $1`, [writeId]);
    });
    await expect(changing).rejects.toMatchObject({
      code: actor === 'owner' ? REFUSED_BY_TRIGGER : REFUSED_BY_PRIVILEGE,
    });
  });

  test('a cancelled key knows of no request, and a request is not cancelled', async () => {
    const halfCancelled = sql.as(actor, company.id, async (client) => {
      const writeId = await claimByHand(client, company.id, company.users.owner.id);
      await client.query(
        `UPDATE idempotent_writes SET outcome = 'cancelled', status_code = 409, response_body = '', completed_at = now()
         WHERE idempotency_key = $1`,
        [writeId],
      );
    });
    await expect(halfCancelled).rejects.toMatchObject({
      code: '23514',
      constraint: 'idempotent_writes_cancelled_without_request',
    });
  });
});
