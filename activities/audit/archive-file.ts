import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline as piped } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import type { ArchiveSeal } from './archive-seal.ts';

/**
 * The manifest of an archived month. `audit-2026-08.jsonl.gz` has one line per row, as PostgreSQL wrote it as JSON;
 * `audit-2026-08.json`, this manifest, says what that file must contain. It is written last: a month without it is not
 * archived.
 */
export type ArchiveManifest = ArchiveContent & {
  readonly version: 1;
  /** `2026-08` */
  readonly month: string;
  readonly file: string;
  /** The table and its columns, so that the file can be read years later without this code. */
  readonly table: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** RFC 3339 */
  readonly archivedAt: string;
  /** Its part of the seal; none where no row was sealed, or where an earlier release has archived the month. */
  readonly seal?: ArchiveSeal;
};

/** What reading a file found in it. */
export type ArchiveContent = {
  readonly rows: number;
  /** The sum of the lines' digests, computed as `audit_table_digest` does over rows; a decimal number. */
  readonly rowDigest: string;
  /** Of the compressed file, so that any tool can check it. */
  readonly sha256: string;
  readonly bytes: number;
};

/** Readable by its owner only, because the log contains users' requests. */
const FILE_MODE = 0o600;
const NEWLINE = 0x0a;

export function archiveFile(month: string): string {
  return `audit-${month}.jsonl.gz`;
}

export function sealFile(month: string): string {
  return `audit-${month}.seal.jsonl.gz`;
}

function manifestFile(month: string): string {
  return `audit-${month}.json`;
}

/** Writes a month to a file of its own, as {@link openLines} says. */
export async function writeArchive(
  folder: string,
  month: string,
  pages: AsyncIterable<readonly string[]>,
): Promise<ArchiveContent> {
  await removePartials(folder, month);
  const file = openLines(folder, archiveFile(month));
  try {
    for await (const lines of pages) await file.write(lines);
    return await file.close();
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** A file of an archive that is being written. */
export type LinesFile = {
  write(lines: readonly string[]): Promise<void>;
  close(): Promise<ArchiveContent>;
  /** Leaves what was there before. */
  discard(): Promise<void>;
};

/**
 * Writes lines to a `.partial` file, reads them back at the end, and only then renames it. A crash leaves the `.partial` file, which
 * the next attempt removes, and does not touch an existing archive.
 */
export function openLines(folder: string, name: string): LinesFile {
  const partial = join(folder, `${name}.${process.pid}.partial`);
  const gzip = createGzip();
  const done = pipeline(gzip, createWriteStream(partial, { mode: FILE_MODE }));
  done.catch(() => undefined); // whoever writes or closes is told
  let written = 0;
  return {
    async write(lines) {
      if (lines.length === 0) return;
      written += lines.length;
      if (!gzip.write(`${lines.join('\n')}\n`)) await Promise.race([once(gzip, 'drain'), done]);
    },
    async close() {
      gzip.end();
      await done;
      await syncToDisk(partial);
      const content = await readBack(partial);
      if (content.rows !== written) throw new Error(`Only ${content.rows} of ${written} rows were read back`);
      await rename(partial, join(folder, name));
      await syncToDisk(folder);
      return content;
    },
    async discard() {
      gzip.destroy();
      await done.catch(() => undefined);
      await rm(partial, { force: true });
    },
  };
}

export async function writeManifest(folder: string, manifest: ArchiveManifest): Promise<void> {
  const path = join(folder, manifestFile(manifest.month));
  const partial = `${path}.${process.pid}.partial`;
  await writeFile(partial, `${JSON.stringify(manifest, null, 2)}\n`, { mode: FILE_MODE });
  await syncToDisk(partial);
  await rename(partial, path);
  await syncToDisk(folder);
}

/** Undefined when the month has not been archived into this folder. */
export async function readManifest(folder: string, month: string): Promise<ArchiveManifest | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, manifestFile(month)), 'utf8')) as ArchiveManifest;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Reads a whole file and computes its content. Throws when the gzip data is incomplete or the last line has no newline. */
export async function readBack(path: string): Promise<ArchiveContent> {
  const file = createHash('sha256');
  const found = { rows: 0, digest: 0n, bytes: 0 };
  await readLines(
    path,
    (line) => {
      found.rows += 1;
      found.digest += lineDigest(line);
    },
    (chunk) => {
      file.update(chunk);
      found.bytes += chunk.length;
    },
  );
  return { rows: found.rows, rowDigest: String(found.digest), sha256: file.digest('hex'), bytes: found.bytes };
}

/** Calls `onLine` with each line of an archive as bytes, without its newline. */
export async function readLines(
  path: string,
  onLine: (line: Buffer) => void | Promise<void>,
  onChunk?: (chunk: Buffer) => void,
): Promise<void> {
  for await (const lines of readPages(path, onChunk)) {
    for (const line of lines) await onLine(line);
  }
}

/** The lines of an archive, some at a time. */
export async function* readPages(
  path: string,
  onChunk: (chunk: Buffer) => void = () => undefined,
): AsyncGenerator<readonly Buffer[]> {
  const source = createReadStream(path);
  source.on('data', (chunk) => onChunk(chunk as Buffer));
  // An error of either ends the loop below with it.
  const chunks: AsyncIterable<Buffer> = piped(source, createGunzip(), () => undefined);
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = rest.indexOf(NEWLINE); end !== -1; end = rest.indexOf(NEWLINE, start)) {
      lines.push(rest.subarray(start, end));
      start = end + 1;
    }
    rest = rest.subarray(start);
    yield lines;
  }
  if (rest.length > 0) throw new Error(`${path} ends in the middle of a line`);
}

/** As `audit_line_digest` computes it: the first 64 bits of the SHA-256, signed. */
function lineDigest(line: Buffer): bigint {
  return createHash('sha256').update(line).digest().readBigInt64BE(0);
}

async function removePartials(folder: string, month: string): Promise<void> {
  const names = (await readdir(folder)).filter(
    (name) => name.startsWith(`audit-${month}.`) && name.endsWith('.partial'),
  );
  for (const name of names) await rm(join(folder, name), { force: true });
}

/** Without it, a rename may reach the disk before the file's content does. */
async function syncToDisk(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
