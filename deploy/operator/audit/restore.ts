import { join } from 'node:path';
import { readBack, readLines, readManifest } from '../../../activities/audit/archive-file.ts';
import { asMaintenance, firstOf } from '../../../activities/audit/archive-month.ts';
import { ArchiveDiffers } from '../../../activities/audit/archived-heads.ts';
import { type VerifiedSeal, type VerifyOptions, verifySeal } from '../../../activities/audit/verify-seal.ts';
import { type Pool, type Tx, transaction } from '../../../activities/database.ts';
import { DAY_MS } from '../../../activities/durations.ts';
import { becomeAuditor } from '../../cli/auditor.ts';
import { checkSeal } from './check-seal.ts';
import { type Archive, type ArchiveReader, listArchives } from './list.ts';
import { sealText } from './seal-text.ts';

type Result = { readonly month: string; readonly rows: number; readonly text: string };

const LINES_A_LOAD = 2_000;

type VerifiedMonth = Result & { readonly seal: VerifiedSeal };

/**
 * Reads the whole file, compares it with the seal, and records that the pool's login has done so: only then may another login drop
 * the month. Throws if the file is not byte for byte what was archived, or not what was sealed.
 *
 * @param pool its login is a member of accubooks_auditor
 */
export async function verifyMonth(
  pool: Pool,
  folder: string,
  month: string,
  options: Pick<VerifyOptions, 'keys' | 'outside'> = {},
): Promise<VerifiedMonth> {
  const archive = await findArchive(pool, month, asAuditor);
  const { manifest, ...found } = await readFile(folder, archive);
  const { known, ...seal } = await checkSeal({ pool, as: asAuditor }, { folder, manifest, archive }, options);
  await requireAllSealed(pool, month, known);
  await asAuditor(pool, (tx) =>
    tx.query('SELECT verify_audit_archive($1, $2, $3, $4)', [
      firstOf(month),
      found.sha256,
      found.rows,
      found.rowDigest,
    ]),
  );
  const text = `${archive.file} contains the ${found.rows} rows that were archived.`;
  return { month, rows: found.rows, seal, text: [text, ...sealText(manifest, seal, options)].join('\n') };
}

/** The same without a database: the files of a month by themselves, and with heads and keys that were kept elsewhere. */
export async function verifyFiles(
  folder: string,
  month: string,
  options: Pick<VerifyOptions, 'keys' | 'outside'>,
): Promise<VerifiedMonth> {
  const { manifest, ...found } = await readMonth(folder, { month });
  if (!isSame(found, manifest))
    throw new Error(`${join(folder, manifest.file)} is not the file that the manifest names.`);
  const seal = await verifySeal(folder, manifest, options);
  const text = `${manifest.file} contains the ${found.rows} rows that its manifest names.`;
  return { month, rows: found.rows, seal, text: [text, ...sealText(manifest, seal, options)].join('\n') };
}

/**
 * Puts a month back into the log. A dropped month is loaded from its file, once that is what was sealed; the database compares it
 * again before attaching it.
 */
export async function restoreMonth(pool: Pool, folder: string, month: string, days: number): Promise<Result> {
  const archive = await findArchive(pool, month);
  if (archive.where === 'restored') throw new Error(`${month} is already in the audit log.`);
  // biome-ignore lint/plugin: a day of the calendar.
  const until = new Date(Date.now() + days * DAY_MS).toISOString();
  const attach = () =>
    asMaintenance(pool, (tx) => tx.query('SELECT attach_audit_month($1, $2)', [firstOf(month), until]));
  if (archive.where === 'dropped') {
    const { manifest } = await readFile(folder, archive);
    await checkSeal({ pool, as: asMaintenance }, { folder, manifest, archive });
    await asMaintenance(pool, (tx) => tx.query('SELECT begin_audit_restore($1)', [firstOf(month)]));
    try {
      await load(pool, join(folder, archive.file), month);
      await attach();
    } catch (error) {
      // What is left of the table is no harm: the next attempt begins with a new one. The first error says what is wrong.
      await asMaintenance(pool, (tx) => tx.query('SELECT discard_audit_restore($1)', [firstOf(month)])).catch(
        () => undefined,
      );
      throw error;
    }
  } else {
    await attach();
  }
  return {
    month,
    rows: archive.rows,
    text: `${month} is in the audit log again, with ${archive.rows} rows, until ${until}.`,
  };
}

/**
 * Drops the detached table if the files contain exactly its rows and their seal: the database compares the rows once more. Another
 * login must have verified the file in the last seven days.
 */
export async function dropMonth(pool: Pool, folder: string, month: string): Promise<Result> {
  const archive = await findArchive(pool, month);
  if (archive.where !== 'detached')
    throw new Error(`${month} is ${archive.where}: there is no detached table to drop.`);
  const { manifest, ...found } = await readFile(folder, archive);
  await verifySeal(folder, manifest);
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
  const { manifest, ...found } = await readMonth(folder, archive);
  if (isSame(manifest, archive) && isSame(found, archive)) return { manifest, ...found };
  throw new Error(
    `${join(folder, archive.file)} is not what was archived: it has ${found.rows} rows (${archive.rows} expected), or its content differs.`,
  );
}

/** The manifest of a month, and what is in the file that it names, or that the database names. */
async function readMonth(folder: string, { month, file }: { readonly month: string; readonly file?: string }) {
  const manifest = await readManifest(folder, month);
  if (manifest === undefined) throw new Error(`${folder} has no manifest for ${month}.`);
  const path = join(folder, file ?? manifest.file);
  const found = await readBack(path).catch((cause: Error) => {
    throw new Error(`${path} cannot be read (${cause.message}). Restore it from the backup.`, { cause });
  });
  return { manifest, ...found };
}

type Figures = { readonly rows: number; readonly rowDigest: string; readonly sha256: string };

function isSame(one: Figures, other: Figures): boolean {
  return one.rows === other.rows && one.rowDigest === other.rowDigest && one.sha256 === other.sha256;
}

/** Throws where the database has sealed more rows of a company than the archive has of it. */
async function requireAllSealed(pool: Pool, month: string, known: ReadonlyMap<string, number>): Promise<void> {
  const companies = await asAuditor(pool, (tx) =>
    tx.query<{ company: string; rows: bigint }>(
      `SELECT company_id AS company, count(*) AS rows FROM sealed_audit_rows
       WHERE row_timestamp >= $1::timestamp AT TIME ZONE 'UTC'
         AND row_timestamp < ($1::timestamp + interval '1 month') AT TIME ZONE 'UTC' GROUP BY company_id ORDER BY company_id`,
      [firstOf(month)],
    ),
  );
  for (const { company, rows } of companies) {
    const there = known.get(company) ?? 0;
    if (BigInt(there) === rows) continue;
    throw new ArchiveDiffers(
      `company ${company} has ${rows} sealed rows in ${month}, and the archive has ${there} of them`,
    );
  }
}
