import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';

/**
 * A month of the audit log as a file: `audit-2026-08.jsonl.gz`, a row a line as PostgreSQL wrote it, and beside it
 * `audit-2026-08.json`, which says what the file must hold. The second is written last: a month without it is not archived.
 */
export type ArchiveManifest = ArchiveContent & {
  readonly version: 1;
  /** `2026-08` */
  readonly month: string;
  readonly file: string;
  /** What each line is a row of: to be read without us, in seven years. */
  readonly table: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** RFC 3339 */
  readonly archivedAt: string;
};

/** What was found in a file by reading it. */
export type ArchiveContent = {
  readonly rows: number;
  /** The sum of the lines' digests, as `audit_table_digest` adds up rows; a decimal number. */
  readonly rowDigest: string;
  /** Of the file as it is, so that any tool can check it. */
  readonly sha256: string;
  readonly bytes: number;
};

/** Only its owner: the log names people's requests. */
const FILE_MODE = 0o600;
const NEWLINE = 0x0a;

export function archiveFile(month: string): string {
  return `audit-${month}.jsonl.gz`;
}

function manifestFile(month: string): string {
  return `audit-${month}.json`;
}

/**
 * Writes the pages of a month beside its place, reads the whole back, and only then puts it there. Whatever ends this
 * before leaves a `.partial`, which the next attempt removes, and what was there stays as it was.
 */
export async function writeArchive(
  folder: string,
  month: string,
  pages: AsyncIterable<readonly string[]>,
): Promise<ArchiveContent> {
  await removePartials(folder, month);
  const partial = join(folder, `${archiveFile(month)}.${process.pid}.partial`);
  let written = 0;
  const text = async function* () {
    for await (const lines of pages) {
      written += lines.length;
      yield `${lines.join('\n')}\n`;
    }
  };
  try {
    await pipeline(Readable.from(text()), createGzip(), createWriteStream(partial, { mode: FILE_MODE }));
    await syncToDisk(partial);
    const content = await readBack(partial);
    if (content.rows !== written) throw new Error(`${content.rows} rows were read back of ${written}`);
    await rename(partial, join(folder, archiveFile(month)));
    await syncToDisk(folder);
    return content;
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

export async function writeManifest(folder: string, manifest: ArchiveManifest): Promise<void> {
  const place = join(folder, manifestFile(manifest.month));
  const partial = `${place}.${process.pid}.partial`;
  await writeFile(partial, `${JSON.stringify(manifest, null, 2)}\n`, { mode: FILE_MODE });
  await syncToDisk(partial);
  await rename(partial, place);
  await syncToDisk(folder);
}

/** Undefined where the month has not been archived into this folder. */
export async function readManifest(folder: string, month: string): Promise<ArchiveManifest | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, manifestFile(month)), 'utf8')) as ArchiveManifest;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Reads a file to its end and adds it up. Throws when it is no whole gzip file, or does not end with a line. */
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

/** Hands over each line of an archive, without its end, as bytes. */
export async function readLines(
  path: string,
  onLine: (line: Buffer) => void | Promise<void>,
  onChunk: (chunk: Buffer) => void = () => undefined,
): Promise<void> {
  const source = createReadStream(path);
  source.on('data', (chunk) => onChunk(chunk as Buffer));
  await pipeline(source, createGunzip(), async (chunks: AsyncIterable<Buffer>) => {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of chunks) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let start = 0;
      for (let end = rest.indexOf(NEWLINE); end !== -1; end = rest.indexOf(NEWLINE, start)) {
        await onLine(rest.subarray(start, end));
        start = end + 1;
      }
      rest = rest.subarray(start);
    }
    if (rest.length > 0) throw new Error(`${path} ends in the middle of a line`);
  });
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

/** A rename may reach the disk before the file's content does. */
async function syncToDisk(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
