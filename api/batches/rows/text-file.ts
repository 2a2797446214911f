import { UnreadableFile } from './rows.ts';

/** Small enough that what is made of one piece stays small, whoever cuts the bytes. */
const MAX_PIECE_BYTES = 64 * 1024;

const UTF_8_MARK = [0xef, 0xbb, 0xbf];
const UTF_16 = 'The file is UTF-16: save it as UTF-8, in Excel as "CSV UTF-8".';

/** What a file begins with that is not text in UTF-8, and what to do with it. */
const SIGNATURES: readonly (readonly [readonly number[], string])[] = [
  [[0xff, 0xfe], UTF_16],
  [[0xfe, 0xff], UTF_16],
  [[0x00, 0x00, 0xfe, 0xff], 'The file is UTF-32: save it as UTF-8.'],
  [[0x1f, 0x8b], 'The file is compressed with gzip: send what "gunzip -c" makes of it.'],
  [[0x50, 0x4b, 0x03, 0x04], 'The file is a ZIP archive or an Excel workbook: unpack it, or save it as "CSV UTF-8".'],
  [[0x50, 0x4b, 0x05, 0x06], 'The file is an empty ZIP archive: unpack it.'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'The file is compressed with zstd: send what "zstd -dc" makes of it.'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'The file is compressed with xz: send what "xz -dc" makes of it.'],
];
const LONGEST_SIGNATURE = 5;

/**
 * The bytes of a text file in pieces of bounded size, without a byte order mark. Throws UnreadableFile where the first bytes
 * show that it is not UTF-8.
 */
export async function* textOf(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of bytes) {
    if (head === undefined) {
      yield* pieces(chunk);
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length < LONGEST_SIGNATURE) continue;
    yield* pieces(checked(head));
    head = undefined;
  }
  if (head !== undefined) yield* pieces(checked(head));
}

function checked(head: Buffer): Buffer {
  const found = SIGNATURES.find(([signature]) => startsWith(head, signature));
  if (found !== undefined) throw new UnreadableFile(found[1]);
  return startsWith(head, UTF_8_MARK) ? head.subarray(UTF_8_MARK.length) : head;
}

function startsWith(head: Buffer, signature: readonly number[]): boolean {
  return signature.every((byte, at) => head[at] === byte);
}

function* pieces(chunk: Buffer): Generator<Buffer> {
  for (let at = 0; at < chunk.length; at += MAX_PIECE_BYTES) yield chunk.subarray(at, at + MAX_PIECE_BYTES);
}
