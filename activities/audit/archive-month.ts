import { crashPoint } from '../crash-points.ts';
import { type Pool, type Tx, transaction } from '../database.ts';
import { type ArchiveContent, archiveFile, writeArchive, writeManifest } from './archive-file.ts';

export type ArchivedMonth = ArchiveContent & { readonly month: string; readonly file: string };

/** About 5 MB of text. */
const ROWS_A_PAGE = 5_000;

/**
 * Moves a month out of the audit log into a file. The database detaches the month under a lock, and only if the file that
 * was read back contains exactly its rows. Until then a failure changes nothing but the file.
 */
export async function archiveMonth(
  pool: Pool,
  folder: string,
  month: string,
  onPage: () => void = () => undefined,
): Promise<ArchivedMonth> {
  const content = await writeArchive(folder, month, pagesOf(pool, month, onPage));
  const file = archiveFile(month);
  await asMaintenance(pool, async (tx) => {
    const columns = await tx.query<{ name: string; type: string }>(COLUMNS);
    const [{ now } = { now: '' }] = await tx.query<{ now: string }>('SELECT now() AS now');
    const manifest = {
      version: 1,
      month,
      table: 'idempotent_write_audit_log',
      columns,
      archivedAt: now,
      file,
    } as const;
    await writeManifest(folder, { ...manifest, ...content });
    crashPoint('archive: exported');
    await tx.query(
      `SELECT detach_audit_month(
         p_month => $1, p_file_name => $2, p_file_sha256 => $3, p_row_count => $4, p_row_digest => $5
       )`,
      [firstOf(month), file, content.sha256, content.rows, content.rowDigest],
    );
  });
  return { month, file, ...content };
}

/** The first page that is not full is the last: a month in the past gets no more rows, and the database compares at the end. */
async function* pagesOf(pool: Pool, month: string, onPage: () => void): AsyncGenerator<readonly string[]> {
  let last: Line = { at: '-infinity', id: 0n, line: '' };
  for (;;) {
    const { at, id } = last;
    const lines = await asMaintenance(pool, (tx) =>
      tx.query<Line>('SELECT * FROM audit_month_lines(p_month => $1, p_after => $2, p_after_id => $3, p_limit => $4)', [
        firstOf(month),
        at,
        id,
        ROWS_A_PAGE,
      ]),
    );
    onPage();
    if (lines.length > 0) yield lines.map(({ line }) => line);
    if (lines.length < ROWS_A_PAGE) return;
    last = lines.at(-1) ?? last;
  }
}

type Line = { readonly at: string; readonly id: bigint; readonly line: string };

const COLUMNS = `
SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
WHERE attrelid = 'idempotent_write_audit_log'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'xid' ORDER BY attnum`;

/** `2026-08` → the date by which the database's functions identify a month. */
export function firstOf(month: string): string {
  return `${month}-01`;
}

export function asMaintenance<T>(pool: Pool, work: (tx: Tx) => Promise<T>): Promise<T> {
  return transaction(pool, async (tx) => {
    await tx.query("SELECT set_config('role', 'accubooks_maintenance', true)");
    return work(tx);
  });
}
