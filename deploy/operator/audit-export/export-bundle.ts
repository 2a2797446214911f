import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { SEALED_LOGS, type SealedLog } from '../../../activities/seal/content.ts';
import { readBatches, readSealedRows, saltOf } from '../../../activities/seal/read-log.ts';
import { jwkOf } from '../../../activities/seal/signing-key.ts';
import { type BundleFolder, type OpenFile, openFolder } from './bundle-files.ts';
import { bundleReadme } from './bundle-readme.ts';
import type { Epoch, EpochStart, ExportedCompany, ExportedLog } from './exported.ts';
import { findPart } from './part.ts';
import { type HeadRow, publishedOf, TIME_STAMP_OF_HEAD } from './published-heads.ts';

/**
 * Writes a bundle: the sealed rows of companies with what proves them, and a verifier that runs without anything else. What is
 * in it, byte by byte, is in docs/seal-format.md. Sealed rows only get more, so that it reads without one snapshot of all, and
 * a page at a time. The manifest is written last: a bundle without it is incomplete.
 */

/** A connection with the auditor's role: `asAuditor` of deploy/cli. */
type Queryable = Pick<pg.ClientBase, 'query'>;

export type ExportOptions = {
  readonly folder: string;
  /** ID or name; undefined for all. */
  readonly company: string | undefined;
  /** Days in UTC, on which rows were written; null for no bound. */
  readonly from: string | null;
  readonly to: string | null;
  onProgress?(rows: number): void;
};

const VERIFIER = 'verify.mjs';
const ROWS_A_FILE = 100_000;
const HEADS_A_PAGE = 1_000;

export async function exportBundle(database: Queryable, options: ExportOptions): Promise<readonly ExportedCompany[]> {
  const companies = await findCompanies(database, options.company);
  const bundle = openFolder(options.folder);
  const [now] = await rowsOf<{ at: string }>(
    database,
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`,
  );
  const epochs = await readEpochs(database);
  const exported: ExportedCompany[] = [];
  let written = 0;
  for (const { id, name } of companies) {
    const logs: Partial<Record<SealedLog, ExportedLog>> = {};
    for (const log of SEALED_LOGS) {
      logs[log] = await exportLog(database, bundle, { companyId: id, log }, options, (rows) => {
        written += rows;
        options.onProgress?.(written);
      });
    }
    exported.push({ id, name, logs: logs as ExportedCompany['logs'] });
  }
  await bundle.write('keys.json', json({ keys: await readKeys(database) }));
  await bundle.write(VERIFIER, readFileSync(join(import.meta.dirname, VERIFIER), 'utf8'));
  const about = {
    exportedAt: now?.at ?? '',
    asked: {
      company: options.company === undefined ? null : (companies[0]?.id ?? null),
      from: options.from,
      to: options.to,
    },
    epochs,
  };
  await bundle.write('README.txt', bundleReadme(about, exported));
  await bundle.write(
    'manifest.json',
    json({ format: 'accubooks-seal-bundle', version: 1, ...about, companies: exported, files: bundle.files }),
  );
  return exported;
}

type Log = { readonly companyId: string; readonly log: SealedLog };

async function exportLog(
  database: Queryable,
  bundle: BundleFolder,
  of: Log,
  { from, to }: ExportOptions,
  onRows: (rows: number) => void,
): Promise<ExportedLog> {
  const { first, ...part } = await findPart(database, of, { from, to });
  const folder = `${of.companyId}/${of.log}`;
  const rows = rowFiles(bundle, folder);
  const batches = bundle.open(`${folder}/batches.ndjson`);
  let archived = 0;
  let next = first;
  while (next <= part.last) {
    const page = (await readBatches(database, of.companyId, of.log, BigInt(next))).filter(
      ({ last_number }) => last_number <= BigInt(part.last),
    );
    const [begin, end] = [page[0], page.at(-1)];
    if (begin === undefined || end === undefined) break;
    const sealed = await readSealedRows(database, of.companyId, of.log, begin.first_number, end.last_number);
    for (const batch of page) {
      const range = { first: Number(batch.first_number), last: Number(batch.last_number) };
      for (let number = batch.first_number; number <= batch.last_number; number += 1n) {
        const row = sealed.get(number);
        // A number without a row is left out: that is what the verifier finds.
        if (row === undefined) continue;
        const { row_id: id, leaf, is_archived: isArchived } = row;
        const content = row.content?.(saltOf(batch, number)) ?? null;
        if (isArchived) archived += 1;
        const line = { number: Number(number), id, leaf: leaf.toString('hex'), content };
        const isErased = batch.erased?.[String(number)] !== undefined;
        await rows.write({ ...line, ...(isArchived ? { archived: true } : {}), ...(isErased ? { erased: true } : {}) });
      }
      const { head, root, epoch } = batch;
      await batches.write(jsonLine({ ...range, head: head.toString('hex'), root: root.toString('hex'), epoch }));
    }
    onRows(sealed.size);
    next = Number(end.last_number) + 1;
  }
  await rows.close();
  await batches.close();
  await exportHeads(database, bundle.open(`${folder}/heads.ndjson`), of, { first, last: part.last });
  return { ...part, rows: rows.written, archived, epochs: await readStarts(database, of) };
}

function rowFiles(bundle: BundleFolder, folder: string) {
  let file: OpenFile | undefined;
  return {
    written: 0,
    async write(line: object): Promise<void> {
      if (this.written % ROWS_A_FILE === 0) {
        await file?.close();
        const nth = String(this.written / ROWS_A_FILE + 1).padStart(5, '0');
        file = bundle.open(`${folder}/rows-${nth}.ndjson`);
      }
      this.written += 1;
      await file?.write(jsonLine(line));
    },
    close: async () => file?.close(),
  };
}

async function exportHeads(
  database: Queryable,
  file: OpenFile,
  { companyId, log }: Log,
  { first, last }: { readonly first: number; readonly last: number },
): Promise<void> {
  for (let after = first - 1; ; ) {
    const heads = await rowsOf<HeadRow & { number: string }>(
      database,
      `SELECT h.head, h.key_id, h.signature, e.evidence AS time_stamp, h.number::text FROM seal_heads h ${TIME_STAMP_OF_HEAD}
       WHERE h.company_id = $1 AND h.log = $2 AND h.number > $3 AND h.number <= $4
       ORDER BY h.number LIMIT ${HEADS_A_PAGE}`,
      [companyId, log, after, last],
    );
    for (const head of heads) await file.write(jsonLine(publishedOf(head)));
    if (heads.length < HEADS_A_PAGE) break;
    after = Number(heads.at(-1)?.number);
  }
  await file.close();
}

async function readStarts(database: Queryable, { companyId, log }: Log): Promise<readonly EpochStart[]> {
  const starts = await rowsOf<Omit<EpochStart, 'number'> & { number: string }>(
    database,
    `SELECT epoch, number::text, encode(digest, 'hex') AS digest, head_position AS head FROM seal_epoch_starts s
     WHERE company_id = $1 AND log = $2 ORDER BY s.epoch`,
    [companyId, log],
  );
  return starts.map((start) => ({ ...start, number: Number(start.number) }));
}

async function readKeys(database: Queryable): Promise<readonly object[]> {
  const keys = await rowsOf<{ key_id: string; public_key: Buffer }>(
    database,
    'SELECT key_id, public_key FROM seal_keys ORDER BY first_used_at, key_id',
  );
  return keys.map(({ key_id, public_key }) => jwkOf(key_id, public_key));
}

function readEpochs(database: Queryable): Promise<readonly Epoch[]> {
  return rowsOf<Epoch>(
    database,
    `SELECT e.epoch, to_char(e.began_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "beganAt",
       coalesce(e.operator, o.operator) AS operator, coalesce(e.reason, o.reason) AS reason
     FROM seal_epochs e LEFT JOIN operator_verifications o ON o.epoch = e.verification_epoch ORDER BY e.epoch`,
  );
}

/** All, or the one of that ID or name. Throws if there is none, or if several have the name. */
export async function findCompanies(
  database: Queryable,
  company: string | undefined,
): Promise<readonly { id: string; name: string }[]> {
  const found = await rowsOf<{ id: string; name: string }>(
    database,
    `SELECT id, name FROM companies WHERE $1::text IS NULL OR id::text = lower($1) OR name = $1 ORDER BY id`,
    [company ?? null],
  );
  if (company !== undefined && found.length === 0) throw new Error(`There is no company ${company}.`);
  if (company !== undefined && found.length > 1) {
    throw new Error(
      `Several companies are called ${company}; name one by its ID: ${found.map(({ id }) => id).join(', ')}.`,
    );
  }
  return found;
}

async function rowsOf<Row>(database: Queryable, sql: string, values: unknown[] = []): Promise<Row[]> {
  return (await database.query(sql, values)).rows as Row[];
}

function jsonLine(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
