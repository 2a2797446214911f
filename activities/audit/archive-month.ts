import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crashPoint } from '../crash-points.ts';
import { type Pool, type Tx, transaction } from '../database.ts';
import { jwkOf } from '../seal/signing-key.ts';
import {
  type ArchiveContent,
  type ArchiveManifest,
  archiveFile,
  type LinesFile,
  openLines,
  sealFile,
  writeArchive,
  writeManifest,
} from './archive-file.ts';
import type { ArchivedPart, ArchiveSeal, NeighbourSeal, RowSeal } from './archive-seal.ts';
import type { HeadAt } from './archived-heads.ts';
import { verifySeal } from './verify-seal.ts';

export type ArchivedMonth = ArchiveContent & { readonly month: string; readonly file: string };

/** About 5 MB of text. */
const ROWS_A_PAGE = 5_000;
const NEIGHBOURS_A_PAGE = 10_000;

/**
 * Moves a month out of the audit log into a file, with the seal of its rows in another. The database detaches the month under a lock,
 * and only if the file that was read back contains exactly its rows, and these are what was sealed. Until then a failure changes
 * nothing but the files.
 */
export async function archiveMonth(
  pool: Pool,
  folder: string,
  month: string,
  onPage: () => void = () => undefined,
): Promise<ArchivedMonth> {
  const { content, seal } = await writeMonth(pool, folder, month, onPage);
  const file = archiveFile(month);
  const manifest: ArchiveManifest = {
    version: 1,
    month,
    table: 'idempotent_write_audit_log',
    ...(await readAbout(pool)),
    file,
    ...content,
    ...(seal === undefined ? {} : { seal }),
  };
  await verifySeal(folder, manifest, { onPage: async () => onPage() });
  await writeManifest(folder, manifest);
  crashPoint('archive: exported');
  await asMaintenance(pool, (tx) =>
    tx.query(
      `SELECT detach_audit_month(
         p_month => $1, p_file_name => $2, p_file_sha256 => $3, p_row_count => $4, p_row_digest => $5
       )`,
      [firstOf(month), file, content.sha256, content.rows, content.rowDigest],
    ),
  );
  return { month, file, ...content };
}

function readAbout(pool: Pool): Promise<Pick<ArchiveManifest, 'columns' | 'archivedAt'>> {
  return asMaintenance(pool, async (tx) => {
    const columns = await tx.query<{ name: string; type: string }>(COLUMNS);
    const [{ now } = { now: '' }] = await tx.query<{ now: string }>('SELECT now() AS now');
    return { columns, archivedAt: now };
  });
}

/** Both files of a month. The one with the seals is there only where rows are sealed. */
async function writeMonth(
  pool: Pool,
  folder: string,
  month: string,
  onPage: () => void,
): Promise<{ content: ArchiveContent; seal: ArchiveSeal | undefined }> {
  const parts = await readParts(pool, month);
  const open: { seals?: LinesFile } = {};
  let sealed = 0;
  const pages = async function* () {
    if (parts.length > 0) open.seals = openLines(folder, sealFile(month));
    for (const part of parts) {
      for await (const neighbours of neighboursOf(pool, month, part)) {
        onPage();
        await open.seals?.write(neighbours.map(toLine));
      }
    }
    for await (const rows of pagesOf(pool, month, onPage)) {
      sealed += rows.filter(({ seal }) => seal !== null).length;
      await open.seals?.write(rows.map(({ id, seal }) => toLine({ id: String(id), ...seal })));
      yield rows.map(({ line }) => line);
    }
  };
  try {
    const content = await writeArchive(folder, month, pages());
    if (open.seals === undefined) {
      // Of when it was archived before.
      await rm(join(folder, sealFile(month)), { force: true });
      return { content, seal: undefined };
    }
    const { sha256, bytes } = await open.seals.close();
    const keys = await readKeys(pool);
    return { content, seal: { version: 1, file: sealFile(month), sha256, bytes, rows: sealed, parts, keys } };
  } catch (error) {
    await open.seals?.discard();
    throw error;
  }
}

function toLine(seal: RowSeal | NeighbourSeal): string {
  return JSON.stringify(seal);
}

/** The first page that is not full is the last: a month in the past gets no more rows, and the database compares at the end. */
async function* pagesOf(pool: Pool, month: string, onPage: () => void): AsyncGenerator<readonly Line[]> {
  let last: Line = { at: '-infinity', id: 0n, line: '', seal: null };
  for (;;) {
    const { at, id } = last;
    const lines = await asMaintenance(pool, (tx) =>
      tx.query<Line>(
        'SELECT * FROM audit_month_lines_with_seals(p_month => $1, p_after => $2, p_after_id => $3, p_limit => $4)',
        [firstOf(month), at, id, ROWS_A_PAGE],
      ),
    );
    onPage();
    yield lines;
    if (lines.length < ROWS_A_PAGE) return;
    last = lines.at(-1) ?? last;
  }
}

type Line = {
  readonly at: string;
  readonly id: bigint;
  readonly line: string;
  /** Null where nobody has sealed the row. */
  readonly seal: Omit<RowSeal, 'id'> | null;
};

/** A sweep may seal a row of the month at any moment, which is then in no part. */
async function readParts(pool: Pool, month: string): Promise<readonly ArchivedPart[]> {
  type Row = { company_id: string; first: bigint; last: bigint; before: HeadAt; after: HeadAt };
  const parts = await asMaintenance(pool, async (tx) => {
    const sweeping = await tx.query("SELECT FROM seal_position WHERE phase <> 'follow'");
    if (sweeping.length > 0) {
      throw new Error(
        `audit month ${month} stays while the sealer looks through all rows. Try again in some minutes; a worker with ` +
          'SEALER_DATABASE_URL has to run (docs/runbooks.md#alert-sealbehind)',
      );
    }
    return tx.query<Row>('SELECT * FROM audit_month_parts($1)', [firstOf(month)]);
  });
  return parts.map(({ company_id: companyId, first, last, before, after }) => ({
    ...{ companyId, first: Number(first), last: Number(last), before, after },
  }));
}

/**
 * Of other months, and under the heads that cover rows of this one: as a rule as many as an hour has rows, at both ends; after a
 * sweep up to as many as a head covers, for each of them.
 */
async function* neighboursOf(
  pool: Pool,
  month: string,
  { companyId, first, last }: ArchivedPart,
): AsyncGenerator<readonly NeighbourSeal[]> {
  for (let from = first; from <= last; from += NEIGHBOURS_A_PAGE) {
    const to = Math.min(last, from + NEIGHBOURS_A_PAGE - 1);
    const leaves = await asMaintenance(pool, (tx) =>
      tx.query<{ number: bigint; leaf: string }>('SELECT * FROM audit_month_neighbours($1, $2, $3, $4)', [
        firstOf(month),
        companyId,
        from,
        to,
      ]),
    );
    yield leaves.map(({ number, leaf }) => ({ company: companyId, number: Number(number), leaf }));
  }
}

async function readKeys(pool: Pool): Promise<ArchiveSeal['keys']> {
  const keys = await asMaintenance(pool, (tx) =>
    tx.query<{ key_id: string; public_key: Buffer }>(
      'SELECT key_id, public_key FROM seal_keys ORDER BY first_used_at, key_id',
    ),
  );
  return keys.map(({ key_id, public_key }) => jwkOf(key_id, public_key));
}

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
