import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ANSWER_CONTROLS } from '../../activities/controls/answers/answers.ts';
import { checkMonth } from '../../activities/controls/check-month.ts';
import type { Control } from '../../activities/controls/control.ts';
import { brokenControls, CONTROLS, checkControls, MONTH_CONTROLS } from '../../activities/controls/controls.ts';
import { HISTORY_CONTROLS } from '../../activities/controls/history.ts';
import { RECORD_CONTROLS } from '../../activities/controls/record.ts';
import { StorageError, type Tx } from '../../activities/database.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { Company } from '../support/companies.ts';
import { keepBooks } from '../support/kept-books.ts';
import { type System, startSystem } from '../support/system.ts';

/** The one whose books are kept. */
const COMPANY = `(SELECT company_id FROM customers WHERE name = 'Lonely')`;

/**
 * For each control one fault, planted past every trigger and foreign key, that this control sees and no other does, unless
 * it is one that compares a row with its answers: what does not fit together was not answered like that either. The rows are
 * found by the words that `keepBooks` has given them.
 */
const FAULTS: Readonly<Record<string, string>> = {
  'entries-balance': `
    UPDATE journal_lines l SET amount_minor = amount_minor + CASE e.description WHEN 'rent' THEN 1 ELSE -1 END
    FROM journal_entries e
    WHERE e.id = l.entry_id AND e.description IN ('rent', 'power') AND l.account_id = ${account('6900')}`,
  'entries-have-lines': `DELETE FROM journal_lines WHERE entry_id = ${entry('rent')}`,
  'trial-balance': addLines('gen_random_uuid()', [['3000', 5]]),
  'control-accounts': `UPDATE journal_lines SET account_id = ${account('1100')} WHERE entry_id = ${entry('rent')}`,
  'reversals-mirror': `UPDATE journal_lines SET amount_minor = 2 * amount_minor WHERE entry_id = ${entry('undone')}`,
  receivable: addLines(`(SELECT journal_entry_id FROM inventory_movements WHERE reason = 'Opening quantity')`, [
    ['1100', 1],
    ['3000', -1],
  ]),
  'due-by-day': `
    WITH moved AS (UPDATE payments SET received_on = '2026-01-10' WHERE reference = 'second' RETURNING journal_entry_id)
    UPDATE journal_entries SET entry_date = '2026-01-10' WHERE id IN (SELECT journal_entry_id FROM moved)`,
  'invoice-numbers': 'UPDATE invoices SET number = number + 1 WHERE number = (SELECT max(number) FROM invoices)',
  'payment-numbers': `UPDATE payments SET number = number + 1 WHERE reference = 'second'`,
  'credit-note-numbers': 'UPDATE credit_notes SET number = number + 1',
  'refund-numbers': 'UPDATE refunds SET number = number + 1',
  'invoice-sums': `
    UPDATE invoices SET subtotal_minor = subtotal_minor + 1, tax_minor = tax_minor - 1 WHERE memo = 'credited'`,
  'invoice-taxes': `UPDATE invoices SET tax_rounding = 'document' WHERE memo = 'open'`,
  'invoice-status': `
    ALTER TABLE invoices ALTER COLUMN status DROP EXPRESSION;
    UPDATE invoices SET status = 'paid' WHERE memo = 'open'`,
  'invoice-paid': `UPDATE payments SET invoice_id = ${invoice('open')} WHERE reference = 'second'`,
  'payment-refunded': `UPDATE refunds SET payment_id = (SELECT id FROM payments WHERE reference = 'second')`,
  'invoice-credited': `UPDATE credit_notes SET invoice_id = ${invoice('open')}`,
  'credit-note-sums': 'UPDATE credit_notes SET net_minor = net_minor + 1, tax_minor = tax_minor - 1',
  'credit-within-line': `
    UPDATE credit_note_lines SET tax_minor = tax_minor + CASE line_number WHEN 1 THEN 1 ELSE -1 END`,
  'claims-posted': `UPDATE payments SET received_on = received_on - 1 WHERE reference = 'second'`,
  'sales-posted': `
    UPDATE journal_lines SET account_id = ${account('5000')}
    WHERE account_id = ${account('4000')} AND entry_id = (SELECT journal_entry_id FROM invoices WHERE memo = 'open')`,
  'one-currency': `UPDATE payments SET currency = 'EUR' WHERE reference = 'second'`,
  'payroll-posted': 'UPDATE pay_runs SET pay_date = pay_date + 1 WHERE year = 2026',
  'pay-run-sums': 'UPDATE pay_runs SET gross_minor = gross_minor + 1, net_minor = net_minor + 1 WHERE year = 2026',
  'paid-once': 'UPDATE payslips SET year = 2026 WHERE year = 2027',
  inventory: addLines(`(SELECT journal_entry_id FROM inventory_movements WHERE reason = 'sold')`, [
    ['1200', 1],
    ['5100', -1],
  ]),
  'item-movements': `UPDATE inventory_movements SET quantity_delta = quantity_delta - 1 WHERE reason = 'sold'`,
  'stock-by-day': `
    WITH moved AS (UPDATE inventory_movements SET moved_on = '2026-01-31' WHERE reason = 'sold' RETURNING journal_entry_id)
    UPDATE journal_entries SET entry_date = '2026-01-31' WHERE id IN (SELECT journal_entry_id FROM moved)`,
  'movements-posted': `UPDATE inventory_movements SET moved_on = moved_on + 1 WHERE reason = 'sold'`,
  'bank-matches': `UPDATE bank_transactions SET amount_minor = amount_minor + 1 WHERE bank_reference = 'matched'`,
  'matched-once': `
    DROP INDEX bank_matches_line_once;
    INSERT INTO bank_matches (company_id, matched_by, journal_line_id)
    SELECT company_id, gen_random_uuid(), journal_line_id FROM bank_matches WHERE bank_transaction_id IS NOT NULL`,
  'successes-told': `DELETE FROM outbox WHERE write_id = ${lonelyCustomer()}`,
  'rejections-told': `DELETE FROM idempotent_write_audit_log WHERE error_code = 'payment_exceeds_outstanding'`,
  'cancels-told': `DELETE FROM idempotent_write_audit_log WHERE error_code = 'write_cancelled'`,
  'losses-told': `DELETE FROM idempotent_write_audit_log WHERE error_code = 'write_record_missing'`,
  'one-entry-a-write': `
    INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, created_xid)
    SELECT company_id, id, id, 'createCustomer', '2026-02-01', 'stray', pg_current_xact_id()
    FROM customers WHERE name = 'Lonely';
    ${addLines(lonelyCustomer(), [
      ['3000', 1],
      ['4000', -1],
    ])}`,
  'main-rows': `DELETE FROM customers WHERE name = 'Lonely'`,
  'no-strays': `
    INSERT INTO customers (company_id, id, name, currency)
    SELECT gen_random_uuid(), id, name, currency FROM customers WHERE name = 'Lonely'`,
  'invoice-answers': `UPDATE invoices SET memo = 'opened' WHERE memo = 'open'`,
  'payment-answers': `UPDATE payments SET metadata = '{"by": "hand"}' WHERE reference = 'second'`,
  'refund-answers': `UPDATE refunds SET reason = 'Too little'`,
  'credit-note-answers': `UPDATE credit_notes SET reason = 'Kept'`,
  'entry-answers': `UPDATE journal_entries SET description = 'renting' WHERE description = 'rent'`,
  'customer-answers': `UPDATE customers SET email = 'by@hand.test' WHERE name = 'Lonely'`,
  'account-answers': `UPDATE accounts SET name = 'By hand' WHERE code = '6100'`,
  'employee-answers': `UPDATE employee_deductions SET name = 'By hand'`,
  'pay-run-answers': 'UPDATE pay_runs SET period_number = 2 WHERE year = 2027',
  'item-answers': `UPDATE inventory_movements SET reason = 'stolen' WHERE reason = 'sold'`,
  'bank-answers': `UPDATE bank_transactions SET description = 'By hand' WHERE bank_reference = 'matched'`,
  'reminder-answers': 'UPDATE invoice_reminders SET step = 3',
  'trigger-answers': `UPDATE workflow_triggers SET payload = '{}'`,
  'settings-answers': `UPDATE companies SET name = 'By hand' WHERE id = ${COMPANY}`,
  'settings-history': `UPDATE settings_versions SET settings = settings || '{"name": "By hand"}' WHERE version = 2`,
  'access-answers': `UPDATE memberships SET roles = '{admin}' WHERE roles = '{accountant,auditor}'`,
  'closed-periods': `
    UPDATE idempotent_writes SET claimed_at = '2026-01-01', completed_at = '2026-01-01'
    WHERE operation = 'updateCompanySettings'`,
  'number-order': `
    UPDATE idempotent_writes SET completed_at = completed_at - interval '1 hour'
    WHERE operation = 'finalizeInvoice' AND resource_id = ${invoice('open')}::text`,
  labels: `UPDATE journal_entries SET operation = 'reconcileLedger' WHERE description = 'rent'`,
  authors: `UPDATE idempotent_write_audit_log SET user_id = ${member('admin')} WHERE deterministic_id = ${lonelyCustomer()}`,
  'difference-reasons': `
    UPDATE reconciliations SET reason = NULL, tolerance_minor = NULL WHERE reason = 'A charge'`,
  approvals: `UPDATE pay_runs SET executed_by = ${member('admin')} WHERE year = 2026`,
};

/** What whoever can write SQL past the triggers would do, all of it adding up as before, and the controls that name it. */
const TAMPERINGS: Readonly<Record<string, readonly [sql: string, seenBy: readonly string[]]>> = {
  'two invoice numbers swapped': [
    `
    UPDATE invoices SET number = 999999 WHERE memo = 'void';
    UPDATE invoices SET number = 2 WHERE memo = 'open';
    UPDATE invoices SET number = 4 WHERE memo = 'void'`,
    ['invoice-answers', 'number-order'],
  ],
  'two account codes swapped': [
    `
    UPDATE accounts SET code = 'swap' WHERE company_id = ${COMPANY} AND code = '6000';
    UPDATE accounts SET code = '6000' WHERE company_id = ${COMPANY} AND code = '6100';
    UPDATE accounts SET code = '6100' WHERE company_id = ${COMPANY} AND code = 'swap'`,
    ['payroll-posted', 'account-answers'],
  ],
  'two account codes of the first chart swapped': [
    `
    UPDATE accounts SET code = 'swap' WHERE company_id = ${COMPANY} AND code = '2000';
    UPDATE accounts SET code = '2000' WHERE company_id = ${COMPANY} AND code = '6900';
    UPDATE accounts SET code = '6900' WHERE company_id = ${COMPANY} AND code = 'swap'`,
    ['entry-answers', 'account-answers'],
  ],
  'an invoice’s customer and due date changed': [
    `UPDATE invoices SET customer_id = ${lonelyCustomer()}, due_date = due_date + 90 WHERE memo = 'open'`,
    ['invoice-answers'],
  ],
  'an invoice’s line described otherwise': [
    `UPDATE invoice_lines SET description = 'Goods' WHERE invoice_id = ${invoice('open')}`,
    ['invoice-answers'],
  ],
  'a payment’s method and reference changed': [
    `UPDATE payments SET method = 'card', reference = 'by hand' WHERE reference = 'second'`,
    ['payment-answers'],
  ],
  'a manual entry times ten': [
    `UPDATE journal_lines SET amount_minor = 10 * amount_minor WHERE entry_id = ${entry('rent')}`,
    ['entry-answers'],
  ],
  'an entry moved into a closed month': [
    `UPDATE journal_entries SET entry_date = '2025-11-20' WHERE description = 'late'`,
    ['entry-answers', 'closed-periods'],
  ],
  'the author of an entry changed': [
    `UPDATE idempotent_writes SET user_id = ${member('admin')} WHERE write_id = ${entry('rent')}`,
    ['authors', 'entry-answers'],
  ],
  'the request of an entry changed, in its audit row as well': [
    `
    UPDATE idempotent_writes SET request_id = 'by hand' WHERE write_id = ${entry('rent')};
    UPDATE idempotent_write_audit_log SET request_id = 'by hand' WHERE deterministic_id = ${entry('rent')}`,
    ['entry-answers'],
  ],
  'a setting changed, in its history as well': [
    `
    UPDATE companies SET reconcile_tolerance_minor = 1000 WHERE id = ${COMPANY};
    UPDATE settings_versions SET settings = settings || '{"reconcile_tolerance_minor": 1000}' WHERE version = 2;
    UPDATE reconciliations SET tolerance_minor = 1000, reason = NULL WHERE reason = 'A charge'`,
    ['settings-answers', 'settings-history', 'bank-answers'],
  ],
  'the author of a version of the settings taken away': [
    'UPDATE settings_versions SET write_id = NULL WHERE version = 2',
    ['settings-history'],
  ],
  'the author of a pay run changed, in its record as well': [
    `
    UPDATE pay_runs SET created_by = ${member('admin')} WHERE year = 2026;
    UPDATE idempotent_writes SET user_id = ${member('admin')} WHERE operation = 'createPayRun'`,
    ['authors'],
  ],
  'the stock of an item and its movement changed': [
    `
    UPDATE inventory_items SET quantity = quantity - 1 WHERE sku = 'LAMP';
    UPDATE inventory_movements SET quantity_delta = quantity_delta - 1 WHERE reason = 'sold'`,
    ['item-answers'],
  ],
};

const COMPARES = new Set(ANSWER_CONTROLS.map(({ name }) => name));

let system: System;
let company: Company;
let neighbour: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  neighbour = await system.company();
  await keepBooks(company, system.owner);
});
afterAll(() => system.stop());

test('of books as they should be, each control has something to look at and nothing to say', async () => {
  const checked = await checkControls(system.owner, [company.id]);
  expect(checked.map(({ control }) => control.name)).toEqual(CONTROLS.map(({ name }) => name));
  expect(checked.filter(({ of }) => of === 0).map(({ control }) => control.name)).toEqual([]);
  expect(checked.filter(({ broken }) => broken.length > 0)).toEqual([]);
  expect(await brokenControls(system.owner)).toEqual({});
});

describe('a control sees what no other does:', () => {
  test.each(CONTROLS)('$name: $sentence', async ({ name, sentence, closesMonth }) => {
    const fault = FAULTS[name] ?? '';
    await inRolledBackTransaction(async (client) => {
      const results = [await client.query(fault)].flat();
      expect(results.at(-1)?.rowCount).toBeGreaterThan(0);
      expect((await brokenNames(client)).filter((broken) => broken === name || !COMPARES.has(broken))).toEqual([name]);
      // What a month is closed by, the application sees as well, of its own company alone.
      const faults = closesMonth ? [`The control ${name} does not hold: ${sentence}`] : [];
      expect(await monthFaults(client, company)).toEqual(faults);
      expect(await monthFaults(client, neighbour)).toEqual([]);
    });
  });
});

describe('whoever can write SQL past the triggers is seen:', () => {
  test.each(Object.entries(TAMPERINGS))('%s', async (_, [tampering, seenBy]) => {
    await inRolledBackTransaction(async (client) => {
      const results = [await client.query(tampering)].flat();
      for (const { rowCount } of results) expect(rowCount).toBeGreaterThan(0);
      expect(await brokenNames(client)).toEqual(expect.arrayContaining([...seenBy]));
      expect(await brokenNames(client)).toHaveLength(seenBy.length);
    });
  });

  test('the answers of every operation are compared', () => {
    const compared = (name: string) => ANSWER_CONTROLS.some(({ sql }) => sql.includes(`'${name}'`));
    expect(OPERATIONS.map(({ name }) => name).filter((name) => !compared(name))).toEqual([]);
  });
});

describe('a month', () => {
  test('is closed by the controls of accounts, entries and documents', () => {
    const others = CONTROLS.filter(({ closesMonth }) => !closesMonth);
    expect(others).toEqual([...RECORD_CONTROLS, ...ANSWER_CONTROLS, ...HISTORY_CONTROLS]);
    expect(MONTH_CONTROLS).toHaveLength(CONTROLS.length - others.length);
  });

  test('is not closed by controls that could not be asked in time, all together or one alone', async () => {
    const took = ({ name }: Control) => `The control ${name} could not be checked in time`;
    await inRolledBackTransaction(async (client) => {
      await client.query('SELECT enter_company($1)', [company.id]);
      expect((await checkMonth(txOn(client), '2025-12-31', 0)).faults).toEqual(MONTH_CONTROLS.map(took));
    });
    await inRolledBackTransaction(async (client) => {
      await client.query(`
        ALTER TABLE number_counters RENAME TO counters;
        CREATE VIEW number_counters AS SELECT counters.* FROM counters, pg_sleep(10);
        GRANT SELECT ON number_counters TO accubooks_app;
        SET LOCAL statement_timeout = 2000`);
      const withNumbers = MONTH_CONTROLS.filter(({ name }) => name.endsWith('-numbers'));
      expect(await monthFaults(client, company)).toEqual(withNumbers.map(took));
    });
  });
});

async function brokenNames(client: pg.PoolClient): Promise<readonly string[]> {
  return Object.keys(await brokenControls(client));
}

/** Past triggers and foreign keys, as only an owner can, and only on purpose. */
async function inRolledBackTransaction(work: (client: pg.PoolClient) => Promise<void>): Promise<void> {
  const client = await system.owner.connect();
  try {
    await client.query("BEGIN; SELECT set_config('session_replication_role', 'replica', true)");
    await work(client);
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

function txOn(client: pg.PoolClient): Tx {
  return {
    async query<Row>(text: string, values: readonly unknown[] = []) {
      const answer = await client.query(text, [...values]).catch((error: unknown) => {
        throw new StorageError(error, 'statement');
      });
      return answer.rows as Row[];
    },
  };
}

/** What `closeMonth` is told of the books, as the application in that company. */
async function monthFaults(client: pg.PoolClient, { id }: Company): Promise<readonly string[]> {
  await client.query('SELECT enter_company($1)', [id]);
  const { rows } = await client.query('SELECT current_user');
  expect(rows).toEqual([{ current_user: 'accubooks_app' }]);
  // A day after everything that is posted. It is not over, and the bank is not reconciled: this is about the books.
  return (await checkMonth(txOn(client), '2027-12-31')).faults.filter((fault) => fault.startsWith('The control'));
}

function member(role: string): string {
  return `(SELECT user_id FROM memberships WHERE company_id = ${COMPANY} AND '${role}' = ANY (roles))`;
}

function account(code: string): string {
  return `(SELECT id FROM accounts WHERE code = '${code}' AND company_id = ${COMPANY})`;
}

function entry(description: string): string {
  return `(SELECT id FROM journal_entries WHERE description = '${description}')`;
}

function invoice(memo: string): string {
  return `(SELECT id FROM invoices WHERE memo = '${memo}')`;
}

function lonelyCustomer(): string {
  return `(SELECT id FROM customers WHERE name = 'Lonely')`;
}

function addLines(entryId: string, lines: readonly (readonly [code: string, amountMinor: number])[]): string {
  const values = lines.map(([code, amountMinor], index) => `('${code}', ${amountMinor}, ${index + 100})`).join(', ');
  return `
    INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency)
    SELECT a.company_id, gen_random_uuid(), ${entryId}, added.line_number, a.id, added.amount_minor, 'USD'
    FROM (VALUES ${values}) AS added (code, amount_minor, line_number) JOIN accounts a USING (code)
    WHERE a.company_id = ${COMPANY}`;
}
