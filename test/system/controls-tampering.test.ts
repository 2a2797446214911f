import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ANSWER_CONTROLS } from '../../activities/controls/answers/answers.ts';
import { brokenControls } from '../../activities/controls/controls.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { keepBooks } from '../support/kept-books.ts';
import { type System, startSystem } from '../support/system.ts';
import {
  account,
  addLines,
  COMPANY,
  differenceEntry,
  entry,
  inRolledBackTransaction,
  invoice,
  lonelyCustomer,
  member,
  paymentEntry,
  stockEntry,
} from '../support/tampering.ts';

const SALE = [
  ['1000', 9_999],
  ['4000', -9_999],
] as const;

/** With the ID of the write that has made a customer. */
const GHOST = `
  INSERT INTO employees (company_id, id, first_name, last_name, email, annual_salary_minor, currency, pay_frequency,
    tax_rate_basis_points)
  SELECT company_id, id, 'Ghost', 'Writer', 'ghost@example.test', 100000000, 'USD', 'monthly', 0
  FROM customers WHERE name = 'Lonely'`;

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
    ['movements-posted', 'differences-posted', 'entry-answers', 'account-answers'],
  ],
  'an invoice’s customer and due date changed': [
    `UPDATE invoices SET customer_id = ${lonelyCustomer()}, due_date = due_date + 90 WHERE memo = 'open'`,
    ['invoice-answers'],
  ],
  'a draft discarded that nobody has discarded': [
    `UPDATE invoices SET discarded_on = '2026-03-01' WHERE memo = 'draft'`,
    ['invoice-answers'],
  ],
  'a customer set back to what an earlier answer said': [
    `UPDATE customers SET external_reference = NULL, metadata = '{}' WHERE external_reference = 'CRM-1'`,
    ['customer-answers'],
  ],
  'a change that has forgotten the one before, in its answer as well': [
    `
    UPDATE customers SET email = NULL WHERE external_reference = 'CRM-1';
    UPDATE idempotent_writes SET response_body = convert_to(
      (convert_from(response_body, 'UTF8')::jsonb || '{"email": null}')::text, 'UTF8')
    WHERE operation = 'updateCustomer' AND request -> 'body' ? 'metadata'`,
    ['customer-answers'],
  ],
  'an item renamed': [`UPDATE inventory_items SET name = 'Lamp' WHERE sku = 'LAMP'`, ['item-answers']],
  'a write-off of less, and its recovery, in their entries as well': [
    `
    UPDATE journal_lines l SET amount_minor = l.amount_minor / 2 FROM write_offs w
    WHERE w.reason = 'hopeless' AND l.entry_id IN (w.journal_entry_id, w.recover_entry_id);
    UPDATE write_offs SET amount_minor = 100, tax_minor = 9 WHERE reason = 'hopeless'`,
    ['write-off-answers'],
  ],
  'a recovery of another day': [
    `
    UPDATE journal_entries SET entry_date = '2026-02-03' WHERE id = (SELECT recover_entry_id FROM write_offs WHERE reason = 'hopeless');
    UPDATE write_offs SET recovered_on = '2026-02-03' WHERE reason = 'hopeless'`,
    ['write-off-answers'],
  ],
  'an invoice’s line described otherwise': [
    `UPDATE invoice_lines SET description = 'Goods' WHERE invoice_id = ${invoice('open')}`,
    ['invoice-answers'],
  ],
  'a void of a payment without its answer': [
    `UPDATE payments SET voided_on = NULL, void_reason = NULL, void_entry_id = NULL, bounced = NULL WHERE reference = 'wrong'`,
    ['invoice-paid', 'payment-answers'],
  ],
  'the day and reason of a void changed': [
    `UPDATE refunds SET voided_on = '2026-02-05', void_reason = 'by hand' WHERE reason = 'Never paid out'`,
    ['claims-posted', 'refund-answers'],
  ],
  'a void of a credit note under the entry of another': [
    `UPDATE credit_notes SET void_entry_id = (SELECT void_entry_id FROM payments WHERE reference = 'wrong')
     WHERE reason = 'Not agreed'`,
    ['claims-posted', 'labels'],
  ],
  'a payment that is said to have bounced': [
    `UPDATE payments SET bounced = true WHERE reference = 'wrong'`,
    ['payment-answers', 'bank-answers'],
  ],
  'the lines of a void payment set free': [
    `DELETE FROM bank_matches WHERE bank_transaction_id IS NULL AND matched_by = (
       SELECT e.write_id FROM payments p JOIN journal_entries e ON e.id = p.void_entry_id WHERE p.reference = 'wrong')`,
    ['bank-answers'],
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
    ['entry-answers', 'labels'],
  ],
  'a setting changed, in its history as well': [
    `
    UPDATE companies SET reconcile_tolerance_minor = 1000 WHERE id = ${COMPANY};
    UPDATE settings_versions SET settings = settings || '{"reconcile_tolerance_minor": 1000}' WHERE version = 4;
    UPDATE reconciliations SET tolerance_minor = 1000, reason = NULL WHERE reason = 'A charge'`,
    ['settings-answers', 'settings-history', 'bank-answers'],
  ],
  'the author of a version of the settings taken away': [
    'UPDATE settings_versions SET write_id = NULL WHERE version = 4',
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
  'the lines of a payroll entry doubled': [
    `
    INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency)
    SELECT l.company_id, gen_random_uuid(), l.entry_id, l.line_number + 100, l.account_id, l.amount_minor, l.currency
    FROM journal_lines l JOIN pay_runs r ON r.journal_entry_id = l.entry_id WHERE r.year = 2026`,
    ['payroll-posted'],
  ],
  'lines added to the entry of a movement': [addLines(stockEntry('sold'), SALE), ['movements-posted']],
  'lines added to the entry of an opening quantity': [
    addLines(stockEntry('Opening quantity'), SALE),
    ['movements-posted'],
  ],
  'lines added to the entry of a difference': [
    addLines(differenceEntry('A charge'), [
      ['5000', 9_999],
      ['4000', -9_999],
    ]),
    ['differences-posted'],
  ],
  'lines that cancel added to 1100 in the entry of a payment': [
    addLines(paymentEntry('second'), [
      ['1100', 9],
      ['1100', -9],
    ]),
    ['sales-posted'],
  ],
  'more due in one entry, and less in one of another day': [
    `
    ${addLines(stockEntry('sold'), [
      ['1100', 900],
      ['3000', -900],
    ])};
    ${addLines(stockEntry('bought'), [
      ['1100', -900],
      ['3000', 900],
    ])}`,
    ['movements-posted'],
  ],
  'a movement posted against another account': [
    `UPDATE journal_lines SET account_id = ${account('3000')}
    WHERE account_id = ${account('2000')} AND entry_id = ${stockEntry('bought')}`,
    ['movements-posted'],
  ],
  'an opening quantity posted as sales': [
    `UPDATE journal_lines SET account_id = ${account('4000')}
    WHERE account_id = ${account('3000')} AND entry_id = ${stockEntry('Opening quantity')}`,
    ['movements-posted'],
  ],
  'a difference posted as sales': [
    `UPDATE journal_lines SET account_id = ${account('4000')}
    WHERE account_id = ${account('6900')} AND entry_id = ${differenceEntry('A charge')}`,
    ['differences-posted'],
  ],
  'a movement and its entry of another day': [
    `
    UPDATE inventory_movements SET moved_on = '2026-02-20' WHERE reason = 'sold';
    UPDATE journal_entries SET entry_date = '2026-02-20' WHERE id = ${stockEntry('sold')}`,
    ['item-answers'],
  ],
  'a difference of another day': [
    `UPDATE journal_entries SET entry_date = '2027-01-01' WHERE id = ${differenceEntry('A charge')}`,
    ['differences-posted'],
  ],
  'an employee whom nobody has hired': [GHOST, ['no-strays']],
  'a draft that nobody has made': [
    `INSERT INTO invoices (company_id, id, customer_id, currency, issue_date, due_date, subtotal_minor, tax_minor, total_minor)
    SELECT company_id, id, id, 'USD', '2026-01-01', '2026-02-01', 5, 0, 5 FROM customers WHERE name = 'Lonely';
    INSERT INTO invoice_lines (company_id, invoice_id, line_number, description, quantity, unit_price_minor,
      tax_rate_basis_points, tax_rate_thousandths, account_id, net_minor, tax_minor)
    SELECT company_id, id, 1, 'Work', 1, 5, 0, 0, ${account('4000')}, 5, 0 FROM customers WHERE name = 'Lonely'`,
    ['no-strays'],
  ],
  'a workflow that nobody has asked for': [
    `INSERT INTO workflow_triggers (company_id, id, workflow_name, workflow_id, payload, user_id)
    SELECT company_id, write_id, 'closeMonth', gen_random_uuid(), '{}', user_id
    FROM idempotent_writes WHERE write_id = ${lonelyCustomer()}`,
    ['no-strays'],
  ],
  'a bank transaction unreconciled': [
    `
    UPDATE bank_transactions SET reconciled_by = NULL WHERE bank_reference = 'matched';
    UPDATE bank_matches SET undone_by = matched_by WHERE bank_transaction_id = ${bankTransactionOf('matched')}`,
    ['bank-answers'],
  ],
  'a bank transaction reconciled again': [
    `
    UPDATE bank_matches SET undone_by = NULL WHERE bank_transaction_id = ${bankTransactionOf('undone')};
    UPDATE bank_transactions t SET reconciled_by = m.matched_by FROM bank_matches m
    WHERE m.bank_transaction_id = t.id AND t.bank_reference = 'undone'`,
    ['bank-answers'],
  ],
  'a bank transaction added to an import': [
    `INSERT INTO bank_transactions (company_id, id, import_id, account_id, bank_reference, booked_on, amount_minor, currency,
      description)
    SELECT company_id, gen_random_uuid(), import_id, account_id, 'made up', booked_on, 5000, currency, 'Made up'
    FROM bank_transactions WHERE bank_reference = 'matched'`,
    ['bank-answers'],
  ],
  'an account added': [
    `INSERT INTO accounts (company_id, code, name, type, is_bank) VALUES (${COMPANY}, '1001', 'Second', 'asset', true)`,
    ['account-answers'],
  ],
  'an owner added': [
    `INSERT INTO memberships (company_id, user_id, roles) SELECT ${COMPANY}, user_id, '{owner}' FROM memberships
    WHERE company_id <> ${COMPANY} AND roles = '{owner}' LIMIT 1`,
    ['access-answers'],
  ],
  'a member made an owner': [
    `UPDATE memberships SET roles = '{owner}' WHERE company_id = ${COMPANY} AND roles = '{employee}'`,
    ['access-answers'],
  ],
  'the owner deleted': [
    `DELETE FROM memberships WHERE company_id = ${COMPANY} AND roles = '{owner}'`,
    ['access-answers'],
  ],
  'the writes of two manual entries exchanged': [exchangeWrites(entry('rent'), entry('power')), ['labels']],
  'the writes of two pay runs exchanged': [exchangeWrites(payrollEntry(2026), payrollEntry(2027)), ['labels']],
  'the writes of two invoices exchanged': [
    exchangeWrites(invoiceEntry('paid in parts'), invoiceEntry('open')),
    ['labels', 'number-order'],
  ],
  'books opened and closed again': [
    `
    SET LOCAL session_replication_role = 'origin';
    UPDATE companies SET books_closed_through = NULL WHERE id = ${COMPANY};
    UPDATE companies SET books_closed_through = '2025-11-30' WHERE id = ${COMPANY}`,
    ['settings-history'],
  ],
  'numbers given to nobody': [
    `UPDATE number_counters SET last_number = last_number + 3, lost_numbers = lost_numbers + 3 WHERE kind = 'payment'`,
    ['losses-told'],
  ],
  'the time of an entry changed': [
    `UPDATE journal_entries SET created_at = '2025-01-01' WHERE operation = 'createPayment'`,
    ['labels'],
  ],
  'a voided run that pays its people again': [
    `INSERT INTO paid_periods (company_id, employee_id, year, pay_frequency, period_number, pay_run_id)
    SELECT company_id, employee_id, year, pay_frequency, period_number, pay_run_id FROM payslips WHERE year = 2028`,
    ['paid-once'],
  ],
  'a run voided by another': [
    `UPDATE pay_runs SET voided_by = ${member('admin')} WHERE year = 2028`,
    ['approvals', 'pay-run-answers'],
  ],
  'a void taken back, with its period': [
    `
    UPDATE pay_runs SET status = 'executed', voided_on = NULL, void_reason = NULL, voided_by = NULL, void_entry_id = NULL
    WHERE year = 2028;
    INSERT INTO paid_periods (company_id, employee_id, year, pay_frequency, period_number, pay_run_id)
    SELECT company_id, employee_id, year, pay_frequency, period_number, pay_run_id FROM payslips WHERE year = 2028`,
    ['approvals', 'pay-run-answers', 'pay-run-voids'],
  ],
  'a raise that nobody has given': [
    'UPDATE employee_terms SET annual_salary_minor = annual_salary_minor + 100000',
    ['employee-answers'],
  ],
  'a raise given by another write': [
    `INSERT INTO employee_terms (company_id, id, employee_id, version, effective_from, annual_salary_minor, currency,
       pay_frequency, tax_rate_basis_points, deductions)
    SELECT company_id, ${lonelyCustomer()}, employee_id, 2, effective_from, annual_salary_minor, currency, pay_frequency,
      tax_rate_basis_points, deductions FROM employee_terms`,
    ['employee-answers', 'pay-run-answers'],
  ],
  'a raise moved before a run that has not paid it': [
    `
    UPDATE employee_terms SET effective_from = '2028-01-01';
    UPDATE idempotent_writes SET claimed_at = claimed_at - interval '1 day', completed_at = completed_at - interval '1 day'
    WHERE operation = 'updateEmployee'`,
    ['employee-answers', 'pay-run-answers'],
  ],
  'the last day of an employee changed': ["UPDATE employees SET left_on = '2029-12-31'", ['employee-answers']],
  'a period paid to nobody': ['DELETE FROM paid_periods WHERE year = 2026', ['paid-once']],
  'the salary of a payslip changed, with the same pay': [
    'UPDATE payslips SET annual_salary_minor = annual_salary_minor + 1 WHERE year = 2026',
    ['pay-run-answers'],
  ],
  'an event of another resource': [
    `UPDATE outbox SET payload = jsonb_set(payload, '{resource,id}', '"by hand"') WHERE kind = 'payment.created'`,
    ['labels'],
  ],
};

function bankTransactionOf(reference: string): string {
  return `(SELECT id FROM bank_transactions WHERE bank_reference = '${reference}')`;
}

function payrollEntry(year: number): string {
  return `(SELECT journal_entry_id FROM pay_runs WHERE year = ${year})`;
}

function invoiceEntry(memo: string): string {
  return `(SELECT journal_entry_id FROM invoices WHERE memo = '${memo}')`;
}

function exchangeWrites(one: string, other: string): string {
  return `
    ALTER TABLE journal_entries DROP CONSTRAINT journal_entries_one_a_write;
    UPDATE journal_entries e SET write_id = o.write_id FROM journal_entries o
    WHERE e.id IN (${one}, ${other}) AND o.id IN (${one}, ${other}) AND o.id <> e.id`;
}

let system: System;
beforeAll(async () => {
  system = await startSystem();
  await system.company('Neighbour Ltd');
  await keepBooks(await system.company(), system.owner);
});
afterAll(() => system.stop());

describe('whoever can write SQL past the triggers is seen:', () => {
  test('nobody in books that no one has tampered with', async () => {
    expect(await brokenControls(system.owner)).toEqual({});
  });

  test.each(Object.entries(TAMPERINGS))('%s', async (_, [tampering, seenBy]) => {
    await inRolledBackTransaction(system.owner, async (client) => {
      const results = [await client.query(tampering)].flat();
      for (const { rowCount } of results) expect(rowCount).not.toBe(0);
      expect((await brokenNames(client)).toSorted()).toEqual(seenBy.toSorted());
    });
  });

  test('the answers of every operation are compared', () => {
    const compared = (name: string) => ANSWER_CONTROLS.some(({ sql }) => sql.includes(`'${name}'`));
    expect(OPERATIONS.map(({ name }) => name).filter((name) => !compared(name))).toEqual([]);
  });
});

async function brokenNames(client: pg.ClientBase): Promise<readonly string[]> {
  return Object.keys(await brokenControls(client));
}
