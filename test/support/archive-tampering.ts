import { createHash } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type pg from 'pg';
import { readBack } from '../../activities/audit/archive-file.ts';

// biome-ignore lint/suspicious/noExplicitAny: whoever changes it says what it expects of it
type Line = any;

/** The files of an archived month, as whoever has them may change them. */
export type ArchiveFiles = { rows: Line[]; seals: Line[]; manifest: Line };

/**
 * A copy of an archive in which somebody has changed a month, with the sizes and digests that its manifest then needs; and where
 * `owner` is given, with those that the database then needs.
 */
export async function tamperedArchive(
  { from, to, month, owner }: { from: string; to: string; month: string; owner?: pg.Pool },
  edit: (files: ArchiveFiles) => void,
): Promise<string> {
  cpSync(from, to, { recursive: true });
  const path = (name: string) => join(to, name);
  const manifest = JSON.parse(readFileSync(path(`audit-${month}.json`), 'utf8'));
  const sealName = `audit-${month}.seal.jsonl.gz`;
  const files: ArchiveFiles = { rows: linesOf(path(manifest.file)), seals: linesOf(path(sealName)), manifest };
  edit(files);
  writeLines(path(manifest.file), files.rows);
  Object.assign(manifest, await readBack(path(manifest.file)));
  if (manifest.seal !== undefined) {
    writeLines(path(sealName), files.seals);
    const content = readFileSync(path(sealName));
    Object.assign(manifest.seal, { sha256: createHash('sha256').update(content).digest('hex'), bytes: content.length });
  }
  writeFileSync(path(`audit-${month}.json`), JSON.stringify(manifest));
  await owner?.query(
    'UPDATE audit_archives SET file_sha256 = $2, row_count = $3, row_digest = $4 WHERE month = $1::date',
    [`${month}-01`, manifest.sha256, manifest.rows, manifest.rowDigest],
  );
  return to;
}

/** Rows are as PostgreSQL writes them, but for the spaces, which it would put back. */
function linesOf(path: string): Line[] {
  return gunzipSync(readFileSync(path))
    .toString()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

function writeLines(path: string, lines: readonly Line[]): void {
  writeFileSync(path, gzipSync(lines.map((line) => `${spaced(line)}\n`).join('')));
}

/** JSON as PostgreSQL writes it. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([name, member]) => `${JSON.stringify(name)}: ${spaced(member)}`)
    .join(', ')}}`;
}
