import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** The input, which can be read repeatedly. */
export type Source = {
  readonly sha256: string;
  readonly bytes: number;
  read(): AsyncIterable<Buffer>;
  /** Whether the file has not changed since its SHA-256 was computed. */
  isUnchanged(): boolean;
  close(): void;
};

/** Copies standard input (`-`) and pipes to a temporary file, because they can be read only once. */
export async function openSource(path: string): Promise<Source> {
  if (path !== '-' && statSync(path).isFile()) return readable(path, () => undefined);
  const folder = mkdtempSync(join(tmpdir(), 'accubooks-file-'));
  // On every exit except a kill.
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  const copy = join(folder, 'input');
  await pipeline(path === '-' ? process.stdin : createReadStream(path), createWriteStream(copy, { mode: 0o600 }));
  return readable(copy, remove);
}

export function refuseSameFile(source: string, results: string): void {
  if (source !== '-' && existsSync(results) && realpathSync(source) === realpathSync(results)) {
    throw new Error(`${results} is the input file: choose another file for the results.`);
  }
}

async function readable(path: string, close: () => void): Promise<Source> {
  // One descriptor for all reads, so that replacing the file has no effect.
  const descriptor = openSync(path, 'r');
  const stamp = () => {
    const { size, mtimeMs } = fstatSync(descriptor);
    return `${size} ${mtimeMs}`;
  };
  const before = stamp();
  const read = () => createReadStream(path, { fd: descriptor, start: 0, autoClose: false });
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of read()) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), bytes, read, isUnchanged: () => stamp() === before, close };
}
