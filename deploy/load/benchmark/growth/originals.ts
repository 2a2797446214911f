import type pg from 'pg';
import { OPERATIONS } from '../../../../activities/operation-list.ts';

/** What one real write has left, to be copied. */
export type Original = {
  readonly operation: string;
  readonly writeId: string;
  readonly rows: readonly OriginalRow[];
};

export type OriginalRow = { readonly table: string; readonly columns: readonly Column[] };

/** `text`: its value as PostgreSQL writes it; bytes are decoded as UTF-8. */
export type Column = { readonly name: string; readonly type: string; readonly text: string | null };

/** Reads what the first write of that operation in the company has left. */
export async function readOriginal(owner: pg.ClientBase, companyId: string, operation: string): Promise<Original> {
  const { rows: writes } = await owner.query<{ write_id: string }>(
    `SELECT write_id FROM idempotent_writes
     WHERE company_id = $1 AND operation = $2 AND outcome = 'succeeded' ORDER BY claimed_at LIMIT 1`,
    [companyId, operation],
  );
  const writeId = writes[0]?.write_id;
  if (writeId === undefined) throw new Error(`Bug! There is no ${operation} to copy`);
  const rows: OriginalRow[] = [];
  for (const [table, condition] of tablesOf(operation)) {
    rows.push(...(await readRows(owner, table, condition, [companyId, writeId])));
  }
  return { operation, writeId, rows };
}

/** The tables to which such a write adds rows, and which of their rows are its. */
function tablesOf(operation: string): (readonly [table: string, condition: string])[] {
  const makes = OPERATIONS.find(({ name }) => name === operation)?.effects.makes;
  return [
    ['idempotent_writes', 'write_id = $2'],
    ...(makes === undefined ? [] : [[makes, 'id = $2'] as const]),
    ...(makes === 'invoices' ? [['invoice_lines', 'invoice_id = $2'] as const] : []),
    ['journal_entries', 'write_id = $2'],
    ['journal_lines', 'entry_id = (SELECT id FROM journal_entries WHERE company_id = $1 AND write_id = $2)'],
    ['idempotent_write_audit_log', `deterministic_id = $2 AND status = 'new'`],
    ['outbox', 'write_id = $2'],
  ];
}

async function readRows(
  owner: pg.ClientBase,
  table: string,
  condition: string,
  values: readonly [companyId: string, writeId: string],
): Promise<OriginalRow[]> {
  const { rows: columns } = await owner.query<Omit<Column, 'text'>>(
    `SELECT quote_ident(attname) AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`,
    [table],
  );
  const texts = columns.map(({ name, type }) => (type === 'bytea' ? `convert_from(${name}, 'UTF8')` : `${name}::text`));
  const { rows } = await owner.query<{ row: (string | null)[] }>(
    `SELECT ARRAY[${texts.join(', ')}] AS row FROM ${table} WHERE company_id = $1 AND ${condition} ORDER BY 1`,
    [...values],
  );
  return rows.map(({ row }) => ({
    table,
    columns: columns.map((column, at) => ({ ...column, text: row[at] ?? null })),
  }));
}

export function textOf({ columns }: OriginalRow, name: string): string {
  return columns.find((column) => column.name === name)?.text ?? '';
}
