import { randomBytes } from 'node:crypto';
import { crashPoint } from '../crash-points.ts';
import { type Pool, type Tx, transaction } from '../database.ts';
import {
  auditContent,
  entryContent,
  SALT_LENGTH,
  type SealedAuditRow,
  type SealedEntry,
  type SealedLog,
} from './content.ts';
import { type Digest, leafOf, NO_DIGEST, nextInChain, rootOf } from './digests.ts';
import { type EntryKey, lockPosition, nameStarts, type Phase, type Position } from './position.ts';
import {
  AUDIT_CONTENT,
  AUDIT_JOINS,
  ENTRY_CONTENT,
  ENTRY_JOINS,
  type ReadEntry,
  toSealedEntries,
} from './sealed-rows.ts';

/**
 * Seals rows that nobody has sealed yet, in the order in which they became visible, and remembers up to where. One transaction
 * a page, on rows that are never written again, so that no write waits for it; a crash leaves nothing of it. The row of
 * `seal_position` is locked meanwhile: of several workers one seals, and the others find it locked.
 */

export type Sealed = {
  /** `busy`: another process seals. `unverified`: the server has come back as another, and is not verified. */
  readonly state: 'sealed' | 'busy' | 'unverified';
  readonly entries: number;
  readonly auditRows: number;
  /** Of which rows were sealed. */
  readonly companyIds: readonly string[];
  /** There may be more at once. */
  readonly isFull: boolean;
};

const NO_ID = '00000000-0000-0000-0000-000000000000';
/** Of the audit log, in one transaction: half a second's work at most. */
const ROWS_A_PAGE = 2_000;
const NOTHING = { entries: 0, auditRows: 0, companyIds: [], isFull: false } as const;

/** Seals one page. The login of `pool` is a member of accubooks_sealer. */
export function sealPage(pool: Pool, rowsAPage = ROWS_A_PAGE): Promise<Sealed> {
  return transaction(pool, async (tx) => {
    await becomeSealer(tx);
    const position = await lockPosition(tx);
    if (typeof position === 'string') return { ...NOTHING, state: position };
    const page = await PHASES[position.phase](tx, position, rowsAPage);
    const { next } = page;
    const sealed = await sealRows(tx, position.epoch, page.rows);
    await tx.query(
      `UPDATE seal_position SET phase = $1, swept_company = $2, swept_entry = $3, swept_until = $4::timestamptz,
         xid = $5::xid8, audit_id = $6`,
      [next.phase, next.swept_company, next.swept_entry, next.swept_until, next.xid, next.audit_id],
    );
    if (page.rows.length > 0) crashPoint('seal: before COMMIT');
    const companyIds = [...new Set(page.rows.map(({ companyId }) => companyId))];
    return { ...sealed, companyIds, state: 'sealed', isFull: page.isFull };
  });
}

/**
 * How far the seal is behind: the age of the oldest audit row that is not sealed; during a sweep, the time since it began.
 * Undefined where the database does not answer. Rows that `pg_restore` has brought from another cluster may have transactions
 * that are not there yet: the sweep has sealed them.
 */
export async function sealLagSeconds(pool: Pool): Promise<number | undefined> {
  try {
    const [row] = await transaction(pool, async (tx) => {
      await becomeSealer(tx);
      return tx.query<{ lag: number }>(
        `SELECT extract(epoch FROM clock_timestamp() - coalesce(
           CASE WHEN p.phase = 'follow' THEN (
             SELECT a.timestamp FROM idempotent_write_audit_log a
             WHERE a.xid IS NOT NULL AND (a.xid, a.id) > (p.xid, p.audit_id)
               AND a.xid < pg_snapshot_xmax(pg_current_snapshot())
               AND NOT EXISTS (SELECT FROM sealed_audit_rows s
                 WHERE s.company_id = a.company_id AND s.row_id = a.id AND s.row_timestamp = a.timestamp)
             ORDER BY a.xid, a.id LIMIT 1
           ) ELSE b.began_at END, clock_timestamp()))::double precision AS lag
         FROM seal_position p JOIN seal_epochs b USING (epoch)`,
      );
    });
    return row === undefined ? 0 : Math.max(0, row.lag);
  } catch {
    return undefined;
  }
}

/**
 * A page is little beside the tables that it is joined with. So it is looked up by indexes, also where the planner believes that
 * the tables are small, as it does until they were analyzed.
 */
export function becomeSealer(tx: Tx): Promise<unknown> {
  return tx.query(
    `SELECT set_config('role', 'accubooks_sealer', true), set_config('search_path', 'public, pg_temp', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('enable_seqscan', 'off', true)`,
  );
}

/** Rows to seal, in this order, and where to go on. */
type Page = { readonly rows: readonly Row[]; readonly next: Position; readonly isFull: boolean };
type Row =
  | { readonly log: 'journal'; readonly companyId: string; readonly entry: SealedEntry }
  | { readonly log: 'audit'; readonly companyId: string; readonly audit: SealedAuditRow };

const PHASES: Readonly<Record<Phase, (tx: Tx, position: Position, limit: number) => Promise<Page>>> = {
  'sweep entries': sweepEntries,
  'sweep audit rows': sweepAuditRows,
  follow,
};

/** Looked through in one page, when nothing is found. */
const COMPANIES_A_PAGE = 200;

/** What is not sealed of one company, by day, oldest first; then the next company. */
async function sweepEntries(tx: Tx, position: Position, limit: number): Promise<Page> {
  let next = position;
  for (let companies = 0; companies < COMPANIES_A_PAGE; companies += 1) {
    const found = await entriesAfter(tx, next, limit);
    const last = found.at(-1);
    if (last !== undefined) {
      const rows = await readEntries(tx, next.swept_company, found);
      const { day, at, id } = last;
      return { rows, next: { ...next, swept_entry: { company: next.swept_company, day, at, id } }, isFull: true };
    }
    const [company] = await tx.query<{ id: string }>('SELECT id FROM companies WHERE id > $1 ORDER BY id LIMIT 1', [
      next.swept_company,
    ]);
    if (company === undefined) return { rows: [], next: { ...next, phase: 'sweep audit rows' }, isFull: true };
    await nameStarts(tx, position.epoch, company.id);
    next = { ...next, swept_company: company.id };
  }
  return { rows: [], next, isFull: true };
}

type FoundEntry = Omit<EntryKey, 'company'> & { readonly is_sealed: boolean };

/** A page of one company's entries, sealed or not: that many are looked at, however many are sealed already. */
function entriesAfter(tx: Tx, { swept_company, swept_entry }: Position, limit: number): Promise<FoundEntry[]> {
  const after = swept_entry?.company === swept_company ? swept_entry : undefined;
  return tx.query<FoundEntry>(
    `SELECT e.entry_date::text AS day, e.created_at::text AS at, e.id,
       EXISTS (SELECT FROM sealed_entries s WHERE s.company_id = e.company_id AND s.entry_id = e.id) AS is_sealed
     FROM journal_entries e
     WHERE e.company_id = $1 AND (e.entry_date, e.created_at, e.id) > ($2::date, $3::timestamptz, $4::uuid)
     ORDER BY e.entry_date, e.created_at, e.id LIMIT $5`,
    [swept_company, after?.day ?? '-infinity', after?.at ?? '-infinity', after?.id ?? NO_ID, limit],
  );
}

async function readEntries(tx: Tx, companyId: string, found: readonly FoundEntry[]): Promise<Row[]> {
  const ids = found.filter(({ is_sealed }) => !is_sealed).map(({ id }) => id);
  if (ids.length === 0) return [];
  const entries = await tx.query<ReadEntry>(
    `SELECT ${ENTRY_CONTENT} FROM unnest($2::uuid[]) WITH ORDINALITY AS k (id, place)
     JOIN journal_entries e ON e.company_id = $1 AND e.id = k.id ${ENTRY_JOINS} ORDER BY k.place`,
    [companyId, ids],
  );
  return toRows(tx, entries);
}

async function sweepAuditRows(tx: Tx, position: Position, limit: number): Promise<Page> {
  const found = await readAuditPage(tx, {
    page: `SELECT a.* FROM idempotent_write_audit_log a WHERE (a.timestamp, a.id) > ($1::timestamptz, $2)
           ORDER BY a.timestamp, a.id LIMIT $3`,
    order: 'a.timestamp, a.id',
    values: [position.swept_until, position.audit_id, limit],
  });
  const next =
    found.last === undefined || !found.isFull
      ? { phase: 'follow' as const, audit_id: 0n }
      : { swept_until: found.last.found_at, audit_id: found.last.found_id };
  return { rows: found.rows, next: { ...position, ...next }, isFull: true };
}

/** Of each transaction that is over: those before the oldest open one, so that no row turns up behind. */
async function follow(tx: Tx, position: Position, limit: number): Promise<Page> {
  const { rows, last, isFull } = await readAuditPage(tx, {
    page: `SELECT a.* FROM idempotent_write_audit_log a
           WHERE a.xid IS NOT NULL AND (a.xid, a.id) > ($1::xid8, $2) AND a.xid < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY a.xid, a.id LIMIT $3`,
    order: 'a.xid, a.id',
    values: [position.xid, position.audit_id, limit],
  });
  const next = last === undefined ? {} : { xid: last.found_xid ?? position.xid, audit_id: last.found_id };
  return { rows, next: { ...position, ...next }, isFull };
}

/** Where a row of the audit log stands, and whether it is sealed already. */
type Found = SealedAuditRow & {
  readonly found_xid: string | null;
  readonly found_at: string;
  readonly found_id: bigint;
  readonly is_sealed: boolean;
};

/** A page of audit rows, each that is not sealed yet with the entry that its write has posted, if that is not. */
async function readAuditPage(
  tx: Tx,
  { page, order, values }: { page: string; order: string; values: readonly [...unknown[], limit: number] },
): Promise<{ rows: Row[]; last: Found | undefined; isFull: boolean }> {
  const found = await tx.query<Found>(
    `WITH page AS MATERIALIZED (${page})
     SELECT a.xid::text AS found_xid, a.timestamp::text AS found_at, a.id AS found_id,
       EXISTS (SELECT FROM sealed_audit_rows s
         WHERE s.company_id = a.company_id AND s.row_id = a.id AND s.row_timestamp = a.timestamp) AS is_sealed,
       ${AUDIT_CONTENT}
     FROM page a ${AUDIT_JOINS} ORDER BY ${order}`,
    values,
  );
  const audits = found.filter(({ is_sealed }) => !is_sealed);
  const rows = [
    ...(await readEntriesOf(tx, audits)),
    ...audits.map((audit) => ({ log: 'audit', companyId: audit.companyId, audit }) as const),
  ];
  return { rows, last: found.at(-1), isFull: found.length === values.at(-1) };
}

/** Entries that are not sealed, in the order of the audit rows of their writes. */
async function readEntriesOf(tx: Tx, audits: readonly SealedAuditRow[]): Promise<Row[]> {
  const made = audits.filter(({ status }) => status === 'new');
  if (made.length === 0) return [];
  const entries = await tx.query<ReadEntry>(
    `SELECT ${ENTRY_CONTENT} FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS k (company_id, write_id, place)
     JOIN journal_entries e ON e.company_id = k.company_id AND e.write_id = k.write_id
       AND NOT EXISTS (SELECT FROM sealed_entries s WHERE s.company_id = e.company_id AND s.entry_id = e.id)
     ${ENTRY_JOINS} ORDER BY k.place`,
    [made.map(({ companyId }) => companyId), made.map(({ writeId }) => writeId)],
  );
  return toRows(tx, entries);
}

async function toRows(tx: Tx, entries: readonly ReadEntry[]): Promise<Row[]> {
  const sealed = await toSealedEntries((sql, values) => tx.query(sql, values), entries);
  return sealed.map((entry) => ({ log: 'journal', companyId: entry.companyId, entry }));
}

/** Rows of one log of one company, to be sealed together. */
type Batch = { readonly companyId: string; readonly log: SealedLog; readonly rows: Row[] };
type SealedBatch = Batch & {
  readonly first: bigint;
  readonly head: Digest;
  readonly leaves: readonly Digest[];
  readonly salts: Buffer;
};

async function sealRows(tx: Tx, epoch: number, rows: readonly Row[]): Promise<{ entries: number; auditRows: number }> {
  if (rows.length === 0) return { entries: 0, auditRows: 0 };
  const batches = [...batchesOf(rows).values()];
  const lasts = await tx.query<{ last_number: bigint | null; head: Buffer | null }>(
    `SELECT b.last_number, b.head FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS k (company_id, log, place)
     LEFT JOIN LATERAL (
       SELECT last_number, head FROM seal_batches b WHERE b.company_id = k.company_id AND b.log = k.log
       ORDER BY b.first_number DESC LIMIT 1
     ) AS b ON true ORDER BY k.place`,
    [batches.map(({ companyId }) => companyId), batches.map(({ log }) => log)],
  );
  const sealed = batches.map((batch, i) => sealBatch(batch, lasts[i]?.last_number ?? 0n, lasts[i]?.head ?? NO_DIGEST));
  await insertBatches(tx, epoch, sealed);
  const entries = await insertEntries(tx, sealed);
  const auditRows = await insertAuditRows(tx, sealed);
  return { entries, auditRows };
}

function batchesOf(rows: readonly Row[]): Map<string, Batch> {
  const batches = new Map<string, Batch>();
  for (const row of rows) {
    const name = `${row.companyId} ${row.log}`;
    const batch = batches.get(name) ?? { companyId: row.companyId, log: row.log, rows: [] };
    batch.rows.push(row);
    batches.set(name, batch);
  }
  return batches;
}

function sealBatch(batch: Batch, lastNumber: bigint, lastHead: Digest): SealedBatch {
  const salts = randomBytes(SALT_LENGTH * batch.rows.length);
  const leaves = batch.rows.map((row, i) => {
    const salt = salts.subarray(i * SALT_LENGTH, (i + 1) * SALT_LENGTH);
    return leafOf(row.log === 'journal' ? entryContent(row.entry, salt) : auditContent(row.audit, salt));
  });
  const first = lastNumber + 1n;
  const head = leaves.reduce((previous, leaf, i) => nextInChain(previous, first + BigInt(i), leaf), lastHead);
  return { ...batch, first, head, leaves, salts };
}

async function insertBatches(tx: Tx, epoch: number, batches: readonly SealedBatch[]): Promise<void> {
  const keys = [
    batches.map(({ companyId }) => companyId),
    batches.map(({ log }) => log),
    batches.map(({ first }) => first),
  ];
  await tx.query(
    `INSERT INTO seal_batches (company_id, log, first_number, last_number, head, root, epoch)
     SELECT k.company_id, k.log, k.first_number, k.last_number, substring($5::bytea FROM 32 * k.place::int - 31 FOR 32),
       substring($6::bytea FROM 32 * k.place::int - 31 FOR 32), $7
     FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[])
       WITH ORDINALITY AS k (company_id, log, first_number, last_number, place)`,
    [
      ...keys,
      batches.map(({ first, rows }) => first + BigInt(rows.length - 1)),
      Buffer.concat(batches.map(({ head }) => head)),
      Buffer.concat(batches.map(({ leaves }) => rootOf(leaves))),
      epoch,
    ],
  );
  await tx.query(
    `INSERT INTO seal_salts (company_id, log, first_number, salts)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bytea[])`,
    [...keys, batches.map(({ salts }) => salts)],
  );
}

async function insertEntries(tx: Tx, batches: readonly SealedBatch[]): Promise<number> {
  const rows = rowsOf(batches, 'journal');
  if (rows.length === 0) return 0;
  await tx.query(
    `INSERT INTO sealed_entries (company_id, number, entry_id, leaf)
     SELECT k.company_id, k.number, k.entry_id, substring($4::bytea FROM 32 * k.place::int - 31 FOR 32)
     FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) WITH ORDINALITY AS k (company_id, number, entry_id, place)`,
    [
      rows.map(({ row }) => row.companyId),
      rows.map(({ number }) => number),
      rows.map(({ row }) => (row.log === 'journal' ? row.entry.entryId : null)),
      Buffer.concat(rows.map(({ leaf }) => leaf)),
    ],
  );
  return rows.length;
}

async function insertAuditRows(tx: Tx, batches: readonly SealedBatch[]): Promise<number> {
  const rows = rowsOf(batches, 'audit');
  if (rows.length === 0) return 0;
  await tx.query(
    `INSERT INTO sealed_audit_rows (company_id, number, row_timestamp, row_id, leaf)
     SELECT k.company_id, k.number, k.row_timestamp, k.row_id, substring($5::bytea FROM 32 * k.place::int - 31 FOR 32)
     FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::bigint[])
       WITH ORDINALITY AS k (company_id, number, row_timestamp, row_id, place)`,
    [
      rows.map(({ row }) => row.companyId),
      rows.map(({ number }) => number),
      rows.map(({ row }) => (row.log === 'audit' ? row.audit.timestamp : null)),
      rows.map(({ row }) => (row.log === 'audit' ? row.audit.id : null)),
      Buffer.concat(rows.map(({ leaf }) => leaf)),
    ],
  );
  return rows.length;
}

function rowsOf(batches: readonly SealedBatch[], log: SealedLog) {
  return batches
    .filter((batch) => batch.log === log)
    .flatMap(({ rows, first, leaves }) =>
      rows.map((row, i) => ({ row, number: first + BigInt(i), leaf: leaves[i] as Digest })),
    );
}
