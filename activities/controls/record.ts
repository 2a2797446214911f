import { OPERATIONS } from '../operation-list.ts';
import type { Control } from './control.ts';

const names = (...posts: string[]) =>
  OPERATIONS.filter(({ effects }) => posts.includes(effects.posts))
    .map(({ name }) => `'${name}'`)
    .join(', ');
const made = OPERATIONS.flatMap(({ name, effects: { makes } }) => (makes ? [{ operation: name, table: makes }] : []));
const numbering = OPERATIONS.flatMap(({ name, takesNumber }) =>
  takesNumber ? [{ operation: name, kind: takesNumber }] : [],
);
/** Tables in which every row has the ID of its write. Not so accounts, which a new company starts with, nor entries. */
export const TABLES_OF_WRITES: readonly string[] = [...new Set(made.map(({ table }) => table))].filter(
  (table) => table !== 'accounts' && table !== 'journal_entries',
);

/** The operations of which a row of the table may be, as a list of SQL. */
const makersOf = (table: string) =>
  [...made, { operation: 'createInventoryItem', table: 'inventory_movements' }]
    .filter((row) => row.table === table)
    .map(({ operation }) => `'${operation}'`)
    .join(', ');

/** The SQL of the smallest and of the largest number of entries that a write `w` has. */
export const ENTRIES_OF_WRITE = {
  least: `CASE WHEN w.outcome = 'succeeded' AND w.operation IN (${names('always')}) THEN 1 ELSE 0 END`,
  most: `CASE WHEN w.outcome = 'succeeded' AND w.operation IN (${names('always', 'sometimes')}) THEN 1 ELSE 0 END`,
};

/** The SQL of whether the main row of a write `w` is there; null where its operation makes none. */
export const MAIN_ROW_IS_THERE = `CASE w.operation
        ${made
          .map(
            ({ operation, table }) =>
              `WHEN '${operation}' THEN EXISTS (SELECT FROM ${table} t WHERE t.company_id = w.company_id AND t.id = w.write_id)`,
          )
          .join('\n        ')}
        END`;

/** Where the row is that has the ID of a write of that operation. */
export function tableOfMainRow(ofOperation: string): string | null {
  return made.find(({ operation }) => operation === ofOperation)?.table ?? null;
}

/** Codes of failed audit rows that tell of no stored rejection. */
export const NO_REJECTIONS = `'idempotency_key_reused', 'write_cancelled', 'write_failed', 'write_record_missing'`;

/** Controls that compare the record of the writes with their effects. */
export const RECORD_CONTROLS: readonly Control[] = [
  {
    name: 'successes-told',
    sentence: 'Every succeeded write has one `new` audit row and one event; no other write has either.',
    closesMonth: false,
    needsAuditRows: true,
    of: `idempotent_writes WHERE outcome = 'succeeded'`,
    sql: `
      SELECT company_id, write_id, w.outcome, a.audit_rows, o.events
      FROM (SELECT company_id, write_id, outcome FROM idempotent_writes WHERE outcome = 'succeeded') AS w
      FULL JOIN (
        SELECT company_id, deterministic_id AS write_id, count(*) AS audit_rows FROM idempotent_write_audit_log
        WHERE status = 'new' GROUP BY 1, 2
      ) AS a USING (company_id, write_id)
      FULL JOIN (
        SELECT company_id, write_id, count(*) AS events FROM outbox GROUP BY 1, 2
      ) AS o USING (company_id, write_id)
      WHERE w.outcome IS NULL OR audit_rows IS DISTINCT FROM 1 OR events IS DISTINCT FROM 1`,
  },
  {
    name: 'rejections-told',
    sentence: 'Every rejected write has one `failed` audit row with its code.',
    closesMonth: false,
    needsAuditRows: true,
    of: `idempotent_writes WHERE outcome = 'rejected'`,
    sql: `
      SELECT w.company_id, w.idempotency_key FROM idempotent_writes w
      WHERE w.outcome = 'rejected' AND 1 <> (
        SELECT count(*) FROM idempotent_write_audit_log a
        WHERE a.company_id = w.company_id AND a.idempotency_key = w.idempotency_key AND a.deterministic_id = w.write_id
          AND a.status = 'failed' AND a.error_code = convert_from(w.response_body, 'UTF8')::jsonb ->> 'code')`,
  },
  {
    name: 'cancels-told',
    sentence: 'Every cancelled key has one `failed` audit row with the code `write_cancelled`.',
    closesMonth: false,
    needsAuditRows: true,
    of: `idempotent_writes WHERE outcome = 'cancelled'`,
    sql: `
      SELECT company_id, idempotency_key, w.outcome, a.audit_rows
      FROM (SELECT company_id, idempotency_key, outcome FROM idempotent_writes WHERE outcome = 'cancelled') AS w
      FULL JOIN (
        SELECT company_id, idempotency_key, count(*) AS audit_rows FROM idempotent_write_audit_log
        WHERE status = 'failed' AND error_code = 'write_cancelled' GROUP BY 1, 2
      ) AS a USING (company_id, idempotency_key)
      WHERE w.outcome IS NULL OR audit_rows IS DISTINCT FROM 1`,
  },
  {
    name: 'losses-told',
    sentence:
      'Every lost write has a `failed` audit row with the code `write_record_missing`; no more numbers are lost than there are such rows of writes that take one.',
    closesMonth: false,
    needsAuditRows: true,
    of: `idempotent_writes WHERE outcome = 'lost'`,
    sql: `
      SELECT w.company_id, w.idempotency_key FROM idempotent_writes w
      WHERE w.outcome = 'lost' AND NOT EXISTS (
        SELECT FROM idempotent_write_audit_log a
        WHERE a.company_id = w.company_id AND a.idempotency_key = w.idempotency_key AND a.status = 'failed'
          AND a.error_code = 'write_record_missing' AND NOT a.metadata @> '{"action": "reopen"}')
      UNION ALL
      SELECT n.company_id, n.kind || ' numbers' FROM number_counters n
      JOIN (VALUES ${numbering.map(({ operation, kind }) => `('${operation}', '${kind}')`).join(', ')}) AS takes (operation, kind)
        ON takes.kind = n.kind
      WHERE n.lost_numbers > 0 AND n.lost_numbers > (
        SELECT count(*) FROM idempotent_write_audit_log a
        WHERE a.company_id = n.company_id AND a.operation_name = takes.operation AND a.status = 'failed'
          AND a.error_code = 'write_record_missing' AND NOT a.metadata @> '{"action": "reopen"}')`,
  },
  {
    name: 'one-entry-a-write',
    sentence: 'A succeeded write of an operation that posts has one entry; no other write has any.',
    closesMonth: false,
    of: 'journal_entries',
    sql: `
      SELECT company_id, w.operation, w.idempotency_key, w.outcome, coalesce(e.entries, 0) AS entries
      FROM (SELECT company_id, write_id, idempotency_key, operation, outcome FROM idempotent_writes) AS w
      FULL JOIN (
        SELECT company_id, write_id, count(*) AS entries FROM journal_entries GROUP BY 1, 2
      ) AS e USING (company_id, write_id)
      WHERE coalesce(e.entries, 0) NOT BETWEEN
        ${ENTRIES_OF_WRITE.least} AND
        ${ENTRIES_OF_WRITE.most}`,
  },
  {
    name: 'main-rows',
    sentence: 'A write creates its main row if and only if it succeeds.',
    closesMonth: false,
    of: `idempotent_writes WHERE outcome IN ('succeeded', 'rejected')`,
    sql: `
      SELECT w.company_id, w.operation, w.idempotency_key, w.outcome FROM idempotent_writes w
      WHERE (w.outcome = 'succeeded') <> ${MAIN_ROW_IS_THERE}`,
  },
  {
    name: 'no-strays',
    sentence:
      'Every customer, invoice, payment, … was created by a succeeded write of its own company, of an operation that makes such.',
    closesMonth: false,
    of: TABLES_OF_WRITES.join(' UNION ALL SELECT company_id FROM '),
    sql: TABLES_OF_WRITES.map(
      (table) => `
      SELECT t.company_id, '${table}' AS found_in, t.id FROM ${table} t
      WHERE NOT EXISTS (
        SELECT FROM idempotent_writes w
        WHERE w.company_id = t.company_id AND w.write_id = t.id AND w.outcome = 'succeeded'
          AND w.operation IN (${makersOf(table)}))`,
    ).join('\n      UNION ALL'),
  },
];
