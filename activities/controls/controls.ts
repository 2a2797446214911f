import type pg from 'pg';
import { ANSWER_CONTROLS } from './answers/answers.ts';
import { APPROVAL_CONTROLS } from './approvals.ts';
import type { Control } from './control.ts';
import { HISTORY_CONTROLS } from './history.ts';
import { BOOKS_CONTROLS } from './month-controls.ts';
import { RECORD_CONTROLS } from './record.ts';

/**
 * The controls of the books. Each is a query that returns no row when it holds. The simulator runs them over its companies,
 * the tests over all of theirs, and docs/books.md lists them.
 */
export const CONTROLS: readonly Control[] = [
  ...BOOKS_CONTROLS,
  ...RECORD_CONTROLS,
  ...APPROVAL_CONTROLS,
  ...ANSWER_CONTROLS,
  ...HISTORY_CONTROLS,
];

export function controlNamed(name: string): Control {
  const found = CONTROLS.find((control) => control.name === name);
  if (found === undefined) throw new Error(`Bug! There is no control ${name}`);
  return found;
}

export type Checked = {
  readonly control: Control;
  readonly companyId: string;
  /** How many rows of the company it checked. */
  readonly of: number;
  /** The rows that violate it. */
  readonly broken: readonly Readonly<Record<string, unknown>>[];
};

type Queryable = {
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<{ readonly rows: Row[] }>;
};

/** Runs each control for each company. Needs a role that reads across companies, such as the auditor's. */
export async function checkControls(
  database: Queryable,
  companyIds: readonly string[],
  controls = CONTROLS,
): Promise<readonly Checked[]> {
  const checked: Checked[] = [];
  for (const control of controls) {
    const broken = await brokenRows(database, control, companyIds);
    const looked = await database.query<{ company_id: string; of: number }>(
      `SELECT company_id, count(*)::int AS of FROM (SELECT company_id FROM ${control.of}) AS looked
       WHERE company_id = ANY ($1) GROUP BY company_id`,
      [companyIds],
    );
    const counts = new Map(looked.rows.map((row) => [row.company_id, row.of]));
    for (const companyId of companyIds) {
      const ofCompany = broken.filter((row) => row['company_id'] === companyId);
      checked.push({ control, companyId, of: counts.get(companyId) ?? 0, broken: ofCompany });
    }
  }
  return checked;
}

/** The violated controls of all companies, by name, with the rows that violate them; empty when the books are right. */
export async function brokenControls(
  database: Queryable,
): Promise<Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>> {
  const broken: Record<string, readonly Readonly<Record<string, unknown>>[]> = {};
  for (const control of CONTROLS) {
    const rows = await brokenRows(database, control, null);
    if (rows.length > 0) broken[control.name] = rows;
  }
  return broken;
}

/**
 * The rows that violate a control. For one company the ID is compared as such: the planner then knows it of every table that is
 * joined on it. `writeIds`: only those of these writes; for a control whose rows name theirs.
 */
export async function brokenRows(
  database: Queryable,
  { sql }: Pick<Control, 'sql'>,
  companyIds: readonly string[] | null,
  {
    limit = null,
    writeIds = null,
  }: { readonly limit?: number | null; readonly writeIds?: readonly string[] | null } = {},
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const [first, ...others] = companyIds ?? [];
  const one = first !== undefined && others.length === 0;
  const { rows } = await database.query<Record<string, unknown>>(
    // MATERIALIZED: planned for all rows, which are read where none violates it, and not for the first ones.
    `WITH broken AS MATERIALIZED (
       SELECT * FROM (${sql}) AS violation
       WHERE ${one ? 'company_id = $1::uuid' : '($1::uuid[] IS NULL OR company_id = ANY ($1))'}
       ${writeIds === null ? '' : 'AND write_id = ANY ($3::uuid[])'})
     SELECT * FROM broken LIMIT $2`,
    [one ? first : companyIds, limit, ...(writeIds === null ? [] : [writeIds])],
  );
  return rows;
}
