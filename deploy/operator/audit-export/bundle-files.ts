import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, readdirSync, type WriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { finished } from 'node:stream/promises';

/** As the manifest lists it; `path` is relative to the folder. */
type BundleFile = { readonly path: string; readonly bytes: number; readonly sha256: string };

/** A folder with files for their owner alone. */
export type BundleFolder = {
  /** Those that are closed. */
  readonly files: readonly BundleFile[];
  open(path: string): OpenFile;
  /** A whole file at once. */
  write(path: string, text: string): Promise<void>;
};

export type OpenFile = {
  /** Waits where the disk is slower: what it has not taken yet would be in memory. */
  write(text: string): Promise<void>;
  close(): Promise<void>;
};

/** Refuses a folder that has something in it: two bundles in one would be neither. */
export function openFolder(folder: string): BundleFolder {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (readdirSync(folder).length > 0) throw new Error(`${folder} is not empty: give a folder that is new or empty.`);
  const files: BundleFile[] = [];
  const open = (path: string) => {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const stream = createWriteStream(file, { mode: 0o600, flags: 'wx' });
    return hashing(stream, (bytes, sha256) => files.push({ path, bytes, sha256 }));
  };
  return {
    files,
    open,
    async write(path, text) {
      const file = open(path);
      await file.write(text);
      await file.close();
    },
  };
}

function hashing(stream: WriteStream, onClosed: (bytes: number, sha256: string) => void): OpenFile {
  const hash: Hash = createHash('sha256');
  let bytes = 0;
  // Where a write fails, `drain` never comes.
  const failure = finished(stream);
  failure.catch(() => undefined);
  return {
    async write(text) {
      const chunk = Buffer.from(text);
      hash.update(chunk);
      bytes += chunk.length;
      if (!stream.write(chunk)) await Promise.race([once(stream, 'drain'), failure]);
    },
    async close() {
      stream.end();
      await failure;
      onClosed(bytes, hash.digest('hex'));
    },
  };
}
