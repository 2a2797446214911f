import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  read as readDescriptor,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';

/** The input, which can be read repeatedly. */
export type Source = {
  readonly sha256: string;
  readonly bytes: number;
  read(): AsyncIterable<Buffer>;
  /** Whether the file has not changed since its SHA-256 was computed. */
  isUnchanged(): boolean;
  close(): void;
};

/** Copies standard input (`-`) and pipes to a temporary file, because they can be read only once. Says what is wrong with a path. */
export async function openSource(path: string): Promise<Source> {
  if (path !== '-' && kindOf(path) === 'file') return readable(path, () => undefined);
  const folder = mkdtempSync(join(tmpdir(), 'accubooks-file-'));
  // On every exit except a kill.
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  const copy = join(folder, 'input');
  await pipeline(path === '-' ? process.stdin : createReadStream(path), createWriteStream(copy, { mode: 0o600 }));
  return readable(copy, remove);
}

function kindOf(path: string): 'file' | 'pipe' {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new Error(`There is no file ${path}.`);
  if (found.isDirectory()) throw new Error(`${path} is a folder. Give a file.`);
  return found.isFile() ? 'file' : 'pipe';
}

export function refuseSameFile(source: string, results: string): void {
  if (source !== '-' && existsSync(source) && existsSync(results) && realpathSync(source) === realpathSync(results)) {
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
  const read = () => readFrom(descriptor);
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of read()) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), bytes, read, isUnchanged: () => stamp() === before, close };
}

const PIECE_BYTES = 64 * 1024;

/** Not a stream of Node, which closes the descriptor when its reader stops before the end. */
async function* readFrom(descriptor: number): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    const { bytesRead, buffer } = await readAt(descriptor, Buffer.allocUnsafe(PIECE_BYTES), 0, PIECE_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

const readAt = promisify(readDescriptor);
