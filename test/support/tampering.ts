import { createHash } from 'node:crypto';
import type pg from 'pg';

/** SQL that finds the rows of the books that `keepBooks` has kept, by the words that it has given them. */
export const COMPANY = `(SELECT company_id FROM customers WHERE name = 'Lonely')`;

export function member(role: string): string {
  return `(SELECT user_id FROM memberships WHERE company_id = ${COMPANY} AND '${role}' = ANY (roles))`;
}

export function account(code: string): string {
  return `(SELECT id FROM accounts WHERE code = '${code}' AND company_id = ${COMPANY})`;
}

export function entry(description: string): string {
  return `(SELECT id FROM journal_entries WHERE description = '${description}')`;
}

/** Of a movement of stock. */
export function stockEntry(reason: string): string {
  return `(SELECT journal_entry_id FROM inventory_movements WHERE reason = '${reason}')`;
}

/** Of the payment with that reference. */
export function paymentEntry(reference: string): string {
  return `(SELECT journal_entry_id FROM payments WHERE reference = '${reference}')`;
}

/** Of the difference that reconciling has posted for that reason. */
export function differenceEntry(reason: string): string {
  return `(SELECT e.id FROM journal_entries e JOIN reconciliations r ON r.id = e.write_id WHERE r.reason = '${reason}')`;
}

export function invoice(memo: string): string {
  return `(SELECT id FROM invoices WHERE memo = '${memo}')`;
}

export function lonelyCustomer(): string {
  return `(SELECT id FROM customers WHERE name = 'Lonely')`;
}

export function addLines(entryId: string, lines: readonly (readonly [code: string, amountMinor: number])[]): string {
  const values = lines.map(([code, amountMinor], index) => `('${code}', ${amountMinor}, ${index + 100})`).join(', ');
  return `
    INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency)
    SELECT a.company_id, gen_random_uuid(), ${entryId}, added.line_number, a.id, added.amount_minor, 'USD'
    FROM (VALUES ${values}) AS added (code, amount_minor, line_number) JOIN accounts a USING (code)
    WHERE a.company_id = ${COMPANY}`;
}

/** Each statement with values is planned once a session: to plan the controls takes longer than to ask them of a few rows. */
function planningOnce(client: pg.PoolClient): pg.PoolClient {
  const query = (text: string, values?: unknown[]) =>
    values === undefined
      ? client.query(text)
      : client.query({ name: createHash('sha1').update(text).digest('hex'), text, values });
  return Object.assign(Object.create(client) as pg.PoolClient, { query });
}

/** Past triggers and foreign keys, as only an owner can, and only on purpose; unless `triggers` are left on. */
export async function inRolledBackTransaction(
  owner: pg.Pool,
  work: (client: pg.PoolClient) => Promise<void>,
  { triggers = false } = {},
): Promise<void> {
  const client = planningOnce(await owner.connect());
  try {
    await client.query("BEGIN; SET LOCAL plan_cache_mode = 'force_generic_plan'");
    if (!triggers) await client.query("SELECT set_config('session_replication_role', 'replica', true)");
    await work(client);
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}
