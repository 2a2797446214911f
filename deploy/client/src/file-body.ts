import type { FileBody } from './http.ts';

/**
 * The bytes of a file, in UTF-8; a Blob may be a file of any size, in a browser and (`fs.openAsBlob`) in Node. A function is
 * called for each attempt. What it throws, and what a stream fails with, ends the call, and is thrown as it is.
 */
export type FileSource = FileContent | (() => FileContent | Promise<FileContent>);

/** An iterable of bytes, such as a readable stream of Node, is sent as a ReadableStream. */
export type FileContent = FileBody | Uint8Array | AsyncIterable<Uint8Array>;

/**
 * The bytes of a file as `fetch` takes them. Of a stream, `onBytes` is called with each piece that is taken, and `onFailure` if
 * the stream itself fails, which is then not a failure of the connection.
 */
export function fileBody(
  content: FileContent,
  { onBytes, onFailure }: { onBytes(): void; onFailure(error: unknown): void },
): FileBody {
  // `fetch` takes bytes, too, but the compiler does not know of each array that they do not change meanwhile.
  if (content instanceof Uint8Array) return new Blob([content as Uint8Array<ArrayBuffer>]);
  if (!isStream(content)) return content;
  const pieces = piecesOf(content);
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    const piece = await nextOf(pieces).catch((error: unknown) => {
      onFailure(error);
      throw error;
    });
    if (piece === undefined) return controller.close();
    onBytes();
    controller.enqueue(piece);
  };
  const cancel = async () => void (await pieces.return?.());
  // Nothing is read before it is asked for.
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}

/** Whether its bytes are gone once they are sent. */
export function isStream(content: unknown): content is ReadableStream | AsyncIterable<Uint8Array> {
  return typeof content === 'object' && content !== null && ('getReader' in content || Symbol.asyncIterator in content);
}

type Pieces = { next(): PromiseLike<{ done?: boolean | undefined; value?: unknown }>; return?(): PromiseLike<unknown> };

function piecesOf(content: ReadableStream | AsyncIterable<Uint8Array>): Pieces {
  // Not each browser can iterate over a ReadableStream.
  if (!('getReader' in content)) return content[Symbol.asyncIterator]();
  const reader = content.getReader();
  return { next: () => reader.read(), return: () => reader.cancel() };
}

async function nextOf(pieces: Pieces): Promise<Uint8Array | undefined> {
  const { done, value } = await pieces.next();
  if (done === true) return undefined;
  if (value instanceof Uint8Array) return value;
  throw new TypeError('The stream of a file gives bytes, such as a Buffer.');
}
