import { join } from 'node:path';
import { readBack, readLines, readManifest } from '../../../activities/audit/archive-file.ts';
import { asMaintenance, firstOf } from '../../../activities/audit/archive-month.ts';
import { type Pool, type Tx, transaction } from '../../../activities/database.ts';
import { DAY_MS } from '../../../activities/durations.ts';
import { becomeAuditor } from '../../cli/auditor.ts';
import { type Archive, type ArchiveReader, listArchives } from './list.ts';

type Result = { readonly month: string; readonly rows: number; readonly text: string };

const LINES_A_LOAD = 2_000;

/**
 * Reads the whole file, and records that the pool's login has done so: only then may another login drop the month. Throws if
 * the file is not byte for byte what was archived.
 *
 * @param pool its login is a member of accubooks_auditor
 */
export async function verifyMonth(pool: Pool, folder: string, month: string): Promise<Result> {
  const archive = await findArchive(pool, month, asAuditor);
  const found = await readFile(folder, archive);
  await asAuditor(pool, (tx) =>
    tx.query('SELECT verify_audit_archive($1, $2, $3, $4)', [
      firstOf(month),
      found.sha256,
      found.rows,
      found.rowDigest,
    ]),
  );
  return { month, rows: found.rows, text: `${archive.file} contains the ${found.rows} rows that were archived.` };
}

/** Puts a month back into the log. A dropped month is loaded from its file; the database compares it before attaching it. */
export async function restoreMonth(pool: Pool, folder: string, month: string, days: number): Promise<Result> {
  const archive = await findArchive(pool, month);
  if (archive.where === 'restored') throw new Error(`${month} is already in the audit log.`);
  if (archive.where === 'dropped') {
    await readFile(folder, archive);
    await asMaintenance(pool, (tx) => tx.query('SELECT begin_audit_restore($1)', [firstOf(month)]));
    await load(pool, join(folder, archive.file), month);
  }
  // biome-ignore lint/plugin: a day of the calendar.
  const until = new Date(Date.now() + days * DAY_MS).toISOString();
  await asMaintenance(pool, (tx) => tx.query('SELECT attach_audit_month($1, $2)', [firstOf(month), until]));
  return {
    month,
    rows: archive.rows,
    text: `${month} is in the audit log again, with ${archive.rows} rows, until ${until}.`,
  };
}

/**
 * Drops the detached table if the file contains exactly its rows: the database compares them once more. Another login must
 * have verified the file in the last seven days.
 */
export async function dropMonth(pool: Pool, folder: string, month: string): Promise<Result> {
  const archive = await findArchive(pool, month);
  if (archive.where !== 'detached')
    throw new Error(`${month} is ${archive.where}: there is no detached table to drop.`);
  const found = await readFile(folder, archive);
  await asMaintenance(pool, (tx) =>
    tx.query('SELECT drop_detached_audit_month($1, $2, $3)', [firstOf(month), found.rows, found.rowDigest]),
  );
  return {
    month,
    rows: found.rows,
    text: `The table of ${month} was dropped. ${archive.file} contains its ${found.rows} rows.`,
  };
}

async function load(pool: Pool, path: string, month: string): Promise<void> {
  let lines: string[] = [];
  const flush = async () => {
    const page = lines;
    lines = [];
    if (page.length > 0) {
      await asMaintenance(pool, (tx) => tx.query('SELECT load_audit_lines($1, $2)', [firstOf(month), page]));
    }
  };
  await readLines(path, async (line) => {
    lines.push(line.toString('utf8'));
    if (lines.length === LINES_A_LOAD) await flush();
  });
  await flush();
}

async function findArchive(pool: Pool, month: string, as?: ArchiveReader): Promise<Archive> {
  const archive = (await listArchives(pool, as)).find((one) => one.month === month);
  if (archive === undefined) throw new Error(`${month} has not been archived.`);
  return archive;
}

export function asAuditor<T>(pool: Pool, work: (tx: Tx) => Promise<T>): Promise<T> {
  return transaction(pool, async (tx) => {
    await becomeAuditor(tx);
    return work(tx);
  });
}

/** The database's record of the archive is authoritative; manifest and file must both agree with it. */
async function readFile(folder: string, archive: Archive) {
  const path = join(folder, archive.file);
  const manifest = await readManifest(folder, archive.month);
  if (manifest === undefined) throw new Error(`${folder} has no manifest for ${archive.month}.`);
  const found = await readBack(path).catch((cause: Error) => {
    throw new Error(`${path} cannot be read (${cause.message}). Restore it from the backup.`, { cause });
  });
  const same = [manifest, found].every(
    ({ rows, rowDigest, sha256 }) =>
      rows === archive.rows && rowDigest === archive.rowDigest && sha256 === archive.sha256,
  );
  if (same) return found;
  throw new Error(
    `${path} is not what was archived: it has ${found.rows} rows (${archive.rows} expected), or its content differs.`,
  );
}
