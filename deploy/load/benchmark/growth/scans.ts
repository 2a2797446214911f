import type pg from 'pg';

/** How a table was read during a measurement, its partitions added up. */
export type Scans = {
  readonly table: string;
  readonly rows: number;
  /** How often the table, or a big partition of it, was read from end to end. */
  readonly sequential: number;
  readonly byIndex: number;
  readonly rowsByIndex: number;
};

/** The counters of each table or partition since it was made. */
export type Counters = ReadonlyMap<string, Scans>;

/** A smaller table may be read from end to end: it is a few pages. */
const BIG_ROWS = 10_000;

/** Other sessions report what they have read when they end, at the latest; this one does now. */
export async function readCounters(owner: pg.ClientBase): Promise<Counters> {
  await owner.query('SELECT pg_stat_force_next_flush()');
  const { rows } = await owner.query<Scans & { id: string }>(
    `SELECT s.relid::text AS id, coalesce(pg_partition_root(s.relid), s.relid)::regclass::text AS table,
       s.n_live_tup::float8 AS rows, s.seq_scan::float8 AS sequential, coalesce(s.idx_scan, 0)::float8 AS "byIndex",
       coalesce(s.idx_tup_fetch, 0)::float8 AS "rowsByIndex"
     FROM pg_stat_user_tables s WHERE s.schemaname IN ('public', 'audit_partitions')`,
  );
  return new Map(rows.map(({ id, ...counters }) => [id, counters]));
}

/** Of the tables that are big, the largest first. */
export function scansBetween(before: Counters, after: Counters, bigRows = BIG_ROWS): Scans[] {
  const sums = new Map<string, Scans>();
  for (const [id, now] of after) {
    const then = before.get(id);
    const sum = sums.get(now.table) ?? { table: now.table, rows: 0, sequential: 0, byIndex: 0, rowsByIndex: 0 };
    sums.set(now.table, {
      table: now.table,
      rows: sum.rows + now.rows,
      sequential: sum.sequential + (now.rows < bigRows ? 0 : now.sequential - (then?.sequential ?? 0)),
      byIndex: sum.byIndex + now.byIndex - (then?.byIndex ?? 0),
      rowsByIndex: sum.rowsByIndex + now.rowsByIndex - (then?.rowsByIndex ?? 0),
    });
  }
  return [...sums.values()].filter(({ rows }) => rows >= bigRows).toSorted((a, b) => b.rows - a.rows);
}
