import { createHash } from 'node:crypto';
import { type FileOptions, readRows } from '../../api/batches/rows/read-rows.ts';
import type { Source } from '../cli/source.ts';
import { toNdjson } from './convert.ts';

/** What is sent for a file. */
export type Upload = {
  readonly format: 'ndjson' | 'csv';
  /** Of the bytes that are sent. */
  sha256(): Promise<string>;
  /** Throws FileChanged at the end if the file is another one by then: an upload that does not end is no batch. */
  read(): AsyncIterable<Buffer>;
  /** Whether an attempt has come to its end: it may be the batch, whatever has become of its answer. */
  wasSentWhole(): boolean;
  /** Whether the file is another one by now. */
  hasChanged(): boolean;
};

/** The file is not what it was when the command began. */
export class FileChanged extends Error {}

/**
 * The bytes as they are where the API reads them as the options say; otherwise each row with its key. `onBytes` is called with
 * how many bytes of the file have been read.
 */
export function openUpload(source: Source, file: FileOptions, onBytes: (bytes: number) => void): Upload {
  const { sha256 } = source;
  let isSentWhole = false;
  const known = { wasSentWhole: () => isSentWhole, hasChanged: () => !source.isUnchanged() };
  const sent = () =>
    unchanged(source, onBytes, () => {
      isSentWhole = true;
    });
  if (!isConverted(file)) {
    return {
      format: file.format === 'csv' ? 'csv' : 'ndjson',
      sha256: async () => sha256,
      read: sent,
      ...known,
    };
  }
  const convert = (bytes: AsyncIterable<Buffer>) => toNdjson(readRows(bytes, file), sha256);
  return {
    format: 'ndjson',
    async sha256() {
      const hash = createHash('sha256');
      for await (const piece of convert(source.read())) hash.update(piece);
      return hash.digest('hex');
    },
    read: () => convert(sent()),
    ...known,
  };
}

function isConverted({ format, delimiter, map, keyColumn }: FileOptions): boolean {
  return keyColumn !== undefined || (format === 'csv' && (delimiter !== ',' || map.size > 0));
}

/** The keys of rows follow from the content that was hashed before. */
async function* unchanged(
  { sha256, read }: Source,
  onBytes: (bytes: number) => void,
  onEnd: () => void,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of read()) {
    hash.update(piece);
    bytes += piece.length;
    onBytes(bytes);
    yield piece;
  }
  if (hash.digest('hex') !== sha256) {
    throw new FileChanged('The file changed while it was being sent: send it when it is complete.');
  }
  onEnd();
}
