import type pg from 'pg';
import type { Company } from './companies.ts';

type PostedLine = readonly [accountCode: string, amountMinor: number, currency: string];

/** The entry of a write as it stands in the books: its date, its source and its lines in order. */
export type PostedEntry = { readonly date: string; readonly operation: string; readonly lines: readonly PostedLine[] };

/** The one entry with that ID. Amounts in tests stay within the safe integers. */
export async function readEntry(owner: pg.Pool, companyId: string, entryId: string): Promise<PostedEntry> {
  const { rows } = await owner.query(
    `SELECT e.entry_date::text AS date, e.operation, a.code, l.amount_minor, l.currency
     FROM journal_entries e
     JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
     JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     WHERE e.company_id = $1 AND e.id = $2 ORDER BY l.line_number`,
    [companyId, entryId],
  );
  return {
    date: rows[0]?.date,
    operation: rows[0]?.operation,
    lines: rows.map((row) => [row.code, Number(row.amount_minor), row.currency]),
  };
}

/** Adds an account to the chart. */
export async function addAccount(
  { api }: Company,
  { code, type, isBank = false }: { code: string; type: string; isBank?: boolean },
): Promise<void> {
  await api.created('/api/ledger/accounts', { code, name: type, type, isBank });
}

export async function changeSettings({ api }: Company, changes: Readonly<Record<string, unknown>>): Promise<void> {
  const { version: expectedVersion } = (await api.get('/api/company/settings')).json;
  await api.created('/api/company/settings', { expectedVersion, ...changes }, { method: 'PATCH' });
}

/** Moves the closing date, also back. */
export async function closeBooks(company: Company, through: string): Promise<void> {
  await changeSettings(company, { booksClosedThrough: through, reopenReason: 'A test' });
}
