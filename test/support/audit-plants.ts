import { addLines, COMPANY, differenceEntry, entry, invoice, lonelyCustomer, member } from './tampering.ts';

export const LONELY = `write_id = ${lonelyCustomer()}`;
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
export const PLANTS: Readonly<Record<string, readonly [sql: string, kinds: readonly string[]]>> = {
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
  'the stored request of a write is changed': [
    `UPDATE idempotent_writes SET request = jsonb_set(request, '{body,name}', '"Somebody else"') WHERE ${LONELY}`,
    ['request-altered'],
  ],
  'the stored request of a rejection is taken away': [
    `ALTER TABLE idempotent_writes DROP CONSTRAINT idempotent_writes_cancelled_without_request;
     UPDATE idempotent_writes SET request = NULL WHERE outcome = 'rejected'`,
    ['request-altered'],
  ],
  'the row of a rejection is deleted': [
    `DELETE FROM idempotent_writes WHERE outcome = 'rejected'`,
    ['audit-row-without-write'],
  ],
  'the status of a success is changed': [
    `UPDATE idempotent_writes SET status_code = 200 WHERE ${LONELY}`,
    ['answer-altered'],
  ],
  'the status of a cancelled key is changed': [
    `UPDATE idempotent_writes SET status_code = 410 WHERE outcome = 'cancelled'`,
    ['answer-altered'],
  ],
  'a rejection is of another user': [
    `UPDATE idempotent_writes SET user_id = ${member('admin')} WHERE outcome = 'rejected'`,
    ['authors'],
  ],
  'a rejection is of another request': [
    `UPDATE idempotent_writes SET request_id = 'by hand' WHERE outcome = 'rejected'`,
    ['audit-row-altered'],
  ],
  'a company is deleted, and its rows are left': [`DELETE FROM companies WHERE id = ${COMPANY}`, ['company-missing']],
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
