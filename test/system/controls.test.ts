import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ANSWER_CONTROLS } from '../../activities/controls/answers/answers.ts';
import { APPROVAL_CONTROLS } from '../../activities/controls/approvals.ts';
import { checkMonth, failedControls } from '../../activities/controls/check-month.ts';
import type { Control } from '../../activities/controls/control.ts';
import { brokenControls, CONTROLS, checkControls } from '../../activities/controls/controls.ts';
import { HISTORY_CONTROLS } from '../../activities/controls/history.ts';
import { MONTH_CONTROLS } from '../../activities/controls/month-controls.ts';
import { MONTH_STEPS } from '../../activities/controls/month-steps.ts';
import { RECORD_CONTROLS } from '../../activities/controls/record.ts';
import { StorageError, type Tx } from '../../activities/database.ts';
import type { Company } from '../support/companies.ts';
import { keepBooks } from '../support/kept-books.ts';
import { sealAllOf } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';
import {
  account,
  addLines,
  COMPANY,
  entry,
  inRolledBackTransaction,
  invoice,
  lonelyCustomer,
  member,
} from '../support/tampering.ts';

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
  'closed-years': 'UPDATE fiscal_year_closings SET reopened_by = NULL',
  receivable: `UPDATE invoices SET voided_on = NULL, void_reason = NULL WHERE memo = 'void'`,
  'due-by-day': `
    WITH moved AS (UPDATE payments SET received_on = '2026-01-10' WHERE reference = 'second' RETURNING journal_entry_id)
    UPDATE journal_entries SET entry_date = '2026-01-10' WHERE id IN (SELECT journal_entry_id FROM moved)`,
  'invoice-numbers': 'UPDATE invoices SET number = number + 1 WHERE number = (SELECT max(number) FROM invoices)',
  'payment-numbers': `UPDATE payments SET number = number + 1 WHERE reference = 'kept'`,
  'credit-note-numbers': `UPDATE credit_notes SET number = number + 1 WHERE reason = 'Not agreed'`,
  'refund-numbers': `UPDATE refunds SET number = number + 1 WHERE reason = 'Never paid out'`,
  'invoice-sums': `
    UPDATE invoices SET subtotal_minor = subtotal_minor + 1, tax_minor = tax_minor - 1 WHERE memo = 'credited'`,
  'invoice-taxes': `UPDATE invoices SET tax_rounding = 'document' WHERE memo = 'open'`,
  'invoice-status': `
    ALTER TABLE invoices ALTER COLUMN status DROP EXPRESSION;
    UPDATE invoices SET status = 'paid' WHERE memo = 'open'`,
  'invoice-paid': `UPDATE payments SET invoice_id = ${invoice('open')} WHERE reference = 'second'`,
  'payment-refunded': `UPDATE refunds SET payment_id = (SELECT id FROM payments WHERE reference = 'second')`,
  'invoice-credited': `UPDATE credit_notes SET invoice_id = ${invoice('open')}`,
  'invoice-written-off': `
    UPDATE invoices SET written_off_minor = written_off_minor + CASE memo WHEN 'open' THEN 1 ELSE -1 END
    WHERE memo IN ('open', 'written off')`,
  'write-off-taxes': `
    UPDATE write_offs SET tax_minor = tax_minor + 1, tax_relief = false WHERE reason = 'insolvent';
    UPDATE journal_lines SET account_id = ${account('6800')}
    WHERE account_id = ${account('2100')} AND entry_id = (SELECT journal_entry_id FROM write_offs WHERE reason = 'insolvent')`,
  'write-offs-posted': `
    UPDATE journal_lines SET account_id = ${account('6900')}
    WHERE account_id = ${account('6800')} AND entry_id = (SELECT journal_entry_id FROM write_offs WHERE reason = 'insolvent')`,
  'credit-note-sums': 'UPDATE credit_notes SET net_minor = net_minor + 1, tax_minor = tax_minor - 1',
  'credit-within-line': `
    UPDATE credit_note_lines SET tax_minor = tax_minor + CASE line_number WHEN 1 THEN 1 ELSE -1 END
    WHERE credit_note_id = (SELECT id FROM credit_notes WHERE reason = 'Returned')`,
  'claims-posted': `UPDATE payments SET received_on = received_on - 1 WHERE reference = 'second'`,
  'sales-posted': `
    UPDATE journal_lines SET account_id = ${account('5000')}
    WHERE account_id = ${account('4000')} AND entry_id = (SELECT journal_entry_id FROM invoices WHERE memo = 'open')`,
  'one-currency': `UPDATE payments SET currency = 'EUR' WHERE reference = 'second'`,
  'payroll-posted': 'UPDATE pay_runs SET pay_date = pay_date + 1 WHERE year = 2026',
  'pay-run-voids': 'UPDATE pay_runs SET voided_on = voided_on + 1 WHERE year = 2028',
  'pay-run-sums': 'UPDATE pay_runs SET gross_minor = gross_minor + 1, net_minor = net_minor + 1 WHERE year = 2026',
  'paid-once': 'UPDATE payslips SET year = 2026 WHERE year = 2027',
  inventory: `UPDATE inventory_items SET currency = 'EUR' WHERE sku = 'LAMP'`,
  'item-movements': `UPDATE inventory_movements SET quantity_delta = quantity_delta - 1 WHERE reason = 'sold'`,
  'stock-by-day': `
    WITH moved AS (UPDATE inventory_movements SET moved_on = '2026-01-31' WHERE reason = 'sold' RETURNING journal_entry_id)
    UPDATE journal_entries SET entry_date = '2026-01-31' WHERE id IN (SELECT journal_entry_id FROM moved)`,
  'movements-posted': `UPDATE inventory_movements SET moved_on = moved_on + 1 WHERE reason = 'sold'`,
  'bank-matches': `UPDATE bank_transactions SET amount_minor = amount_minor + 1 WHERE bank_reference = 'matched'`,
  'differences-posted': `
    UPDATE journal_lines SET account_id = ${account('5000')}
    WHERE account_id = ${account('6900')} AND entry_id IN (SELECT id FROM journal_entries WHERE operation = 'reconcileLedger')`,
  'matched-once': `
    DROP INDEX bank_matches_line_once;
    INSERT INTO bank_matches (company_id, matched_by, journal_line_id)
    SELECT company_id, gen_random_uuid(), journal_line_id FROM bank_matches WHERE bank_transaction_id IS NOT NULL`,
  'successes-told': `DELETE FROM outbox WHERE write_id = ${lonelyCustomer()}`,
  'rejections-told': `DELETE FROM idempotent_write_audit_log WHERE error_code = 'payment_exceeds_outstanding'`,
  'cancels-told': `DELETE FROM idempotent_write_audit_log WHERE error_code = 'write_cancelled'`,
  'losses-told': `DELETE FROM idempotent_write_audit_log WHERE error_code = 'write_record_missing'`,
  'one-entry-a-write': `
    INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, created_at, created_xid)
    SELECT company_id, id, id, 'createCustomer', '2026-02-01', 'stray', created_at, pg_current_xact_id()
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
  'write-off-answers': `UPDATE write_offs SET reason = 'By hand' WHERE reason = 'insolvent'`,
  'customer-answers': `UPDATE customers SET email = 'by@hand.test' WHERE name = 'Lonely'`,
  'account-answers': `UPDATE accounts SET type = 'liability' WHERE code = '6100'`,
  'employee-answers': `UPDATE employee_deductions SET name = 'By hand'`,
  'pay-run-answers': 'UPDATE pay_runs SET period_number = 2 WHERE year = 2027',
  'fiscal-year-answers': 'UPDATE fiscal_year_closings SET starts_on = starts_on + 1',
  'item-answers': `UPDATE inventory_movements SET reason = 'stolen' WHERE reason = 'sold'`,
  'bank-answers': `UPDATE bank_transactions SET description = 'By hand' WHERE bank_reference = 'matched'`,
  'reminder-answers': 'UPDATE invoice_reminders SET step = 3',
  'trigger-answers': `UPDATE workflow_triggers SET payload = '{}'`,
  'settings-answers': `UPDATE companies SET name = 'By hand' WHERE id = ${COMPANY}`,
  'settings-history': `UPDATE settings_versions SET settings = settings || '{"name": "By hand"}' WHERE version = 4`,
  'policy-answers': `UPDATE approval_policies SET policies = '[]'`,
  'approved-by-others': `UPDATE approval_decisions SET decision = 'rejected'`,
  'access-answers': `UPDATE memberships SET roles = '{admin}' WHERE roles = '{accountant,auditor}'`,
  'closed-periods': `
    UPDATE idempotent_writes SET claimed_at = '2026-01-01', completed_at = '2026-01-01'
    WHERE operation = 'updateCompanySettings'`,
  'number-order': `
    UPDATE idempotent_writes SET completed_at = completed_at - interval '1 hour'
    WHERE operation = 'finalizeInvoice' AND resource_id = ${invoice('open')}::text`,
  labels: `UPDATE journal_entries SET operation = 'createJournalEntry' WHERE description = 'undone'`,
  authors: `UPDATE idempotent_write_audit_log SET user_id = ${member('admin')} WHERE deterministic_id = ${lonelyCustomer()}`,
  erasures: `UPDATE seal_salts SET erased = '{"1": {}}' WHERE company_id = ${COMPANY} AND log = 'journal' AND first_number = 1`,
  'difference-reasons': `
    UPDATE reconciliations SET reason = NULL, tolerance_minor = NULL WHERE reason = 'A charge'`,
  approvals: `UPDATE pay_runs SET executed_by = ${member('admin')} WHERE year = 2026`,
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
  await sealAllOf(system);
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
    await inRolledBackTransaction(system.owner, async (client) => {
      const results = [await client.query(fault)].flat();
      expect(results.at(-1)?.rowCount).toBeGreaterThan(0);
      expect((await brokenNames(client)).filter((broken) => broken === name || !COMPARES.has(broken))).toEqual([name]);
      if (!closesMonth) return;
      // What a month is closed by, the application sees as well, of its own company alone.
      expect(await monthFaults(client, company)).toEqual([`The control ${name} does not hold: ${sentence}`]);
      expect(await monthFaults(client, neighbour)).toEqual([]);
    });
  });
});

describe('a month', () => {
  test('is closed by the controls of accounts, entries and documents', () => {
    const others = CONTROLS.filter(({ closesMonth }) => !closesMonth);
    expect(others).toEqual([...RECORD_CONTROLS, ...APPROVAL_CONTROLS, ...ANSWER_CONTROLS, ...HISTORY_CONTROLS]);
    expect(MONTH_CONTROLS).toHaveLength(CONTROLS.length - others.length);
  });

  test('is not closed by what could not be asked in time, all together or one control alone', async () => {
    const steps = MONTH_STEPS.map(({ name }) => `The step ${name} could not be checked in time`);
    const took = ({ name }: Control) => `The control ${name} could not be checked in time`;
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query('SELECT enter_company($1)', [company.id]);
      expect((await checkMonth(txOn(client), '2025-12-31', 0)).faults).toEqual([...steps, ...MONTH_CONTROLS.map(took)]);
    });
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query(`
        ALTER TABLE number_counters RENAME TO counters;
        CREATE VIEW number_counters AS SELECT counters.* FROM counters, pg_sleep(10);
        GRANT SELECT ON number_counters TO accubooks_app;
        SET LOCAL statement_timeout = 2000`);
      const withNumbers = MONTH_CONTROLS.filter(({ name }) => name.endsWith('-numbers'));
      expect(await monthFaults(client, company)).toEqual(withNumbers.map(took));
    });
  });

  test('that ends a fiscal year is refused for what was found alone, and asked again where there was no time', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query('SELECT enter_company($1)', [company.id]);
      const late = failedControls(txOn(client), '2025-12-31', 0);
      await expect(late).rejects.toMatchObject({ name: 'TransientFailure', mayHaveCommitted: false });
    });
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query(`
        ALTER TABLE number_counters RENAME TO counters;
        CREATE VIEW number_counters AS SELECT counters.* FROM counters, pg_sleep(10);
        GRANT SELECT ON number_counters TO accubooks_app;
        SET LOCAL statement_timeout = 2000`);
      await client.query(FAULTS['invoice-paid'] ?? '');
      await client.query('SELECT enter_company($1)', [company.id]);
      const names = (await failedControls(txOn(client), '2027-12-31', 45_000)).map(({ control }) => control);
      expect(names).toContain('invoice-paid');
      expect(names.filter((name) => name.endsWith('-numbers'))).toEqual([]);
    });
  });

  test('is checked by one statement for each step and control, which has a limit, also where something is in the way', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query(FAULTS['invoice-paid'] ?? '');
      await client.query('SELECT enter_company($1)', [company.id]);
      const asked: string[] = [];
      const tx = txOn(client);
      const recording: Tx = {
        query: (text, values) => {
          asked.push(text.split(' ', 2).join(' '));
          return tx.query(text, values);
        },
      };
      const { failed = [] } = await checkMonth(recording, '2027-12-31');
      expect(failed.map(({ control }) => control)).toContain('invoice-paid');
      const each = [
        'SAVEPOINT month_check',
        "SELECT set_config('statement_timeout',",
        'WITH broken',
        'RELEASE SAVEPOINT',
      ];
      expect(asked.slice(1)).toEqual([...MONTH_STEPS, ...MONTH_CONTROLS].flatMap(() => each));
    });
  });
});

async function brokenNames(client: pg.ClientBase): Promise<readonly string[]> {
  return Object.keys(await brokenControls(client));
}

function txOn(client: pg.ClientBase): Tx {
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
async function monthFaults(client: pg.ClientBase, { id }: Company): Promise<readonly string[]> {
  await client.query('SELECT enter_company($1)', [id]);
  const { rows } = await client.query('SELECT current_user');
  expect(rows).toEqual([{ current_user: 'accubooks_app' }]);
  // A day after everything that is posted. It is not over, and the bank is not reconciled: this is about the books.
  return (await checkMonth(txOn(client), '2027-12-31')).faults.filter((fault) => fault.startsWith('The control'));
}
