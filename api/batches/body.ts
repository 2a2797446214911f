import type { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { withTimeout } from '../../worker/timeouts.ts';
import { readMediaType } from '../http/media-type.ts';
import { ApiProblem } from '../http/problems.ts';
import { tooLarge, type UploadLimits } from './limits.ts';
import type { Format } from './rows/read-rows.ts';

const FORMATS = { 'application/x-ndjson': 'jsonl', 'text/csv': 'csv' } as const satisfies Readonly<
  Record<string, Format>
>;
const TYPES = Object.keys(FORMATS) as (keyof typeof FORMATS)[];

/** Throws `unsupported_media_type`. */
export function readMedia(request: FastifyRequest): Format {
  const type = readMediaType(request, { types: TYPES, what: 'file' });
  if (type !== undefined) return FORMATS[type];
  throw new ApiProblem('unsupported_media_type', { detail: `Send Content-Type: ${TYPES.join(' or ')}.` });
}

/** Throws `body_too_large` where the request says that it is, before any of it is read. */
export function refuseLength({ headers }: FastifyRequest, limits: UploadLimits): void {
  if (Number(headers['content-length'] ?? 0) > limits.bytes) throw tooLarge(limits);
}

/** The bytes of the body as they come. Throws `body_too_large`, `request_timeout`, and `malformed_request` where it breaks off. */
export async function* readBytes(request: FastifyRequest, limits: UploadLimits): AsyncGenerator<Buffer> {
  const body = request.body as Readable | undefined | null;
  if (body == null) return;
  const sinceMs = performance.now();
  let bytes = 0;
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (;;) {
    const next = await withTimeout(chunks.next(), limits.silentMs).catch(() => {
      throw brokenOff();
    });
    if (next === undefined || performance.now() - sinceMs > limits.lastMs) throw tooSlow(limits);
    if (next.done === true) break;
    bytes += next.value.length;
    if (bytes > limits.bytes) throw tooLarge(limits);
    yield next.value;
  }
  if (!request.raw.complete) throw brokenOff();
}

function brokenOff(): ApiProblem {
  return new ApiProblem('malformed_request', { detail: 'The file broke off. Send it again with the same key.' });
}

function tooSlow({ silentMs, lastMs }: UploadLimits): ApiProblem {
  return new ApiProblem('request_timeout', {
    detail: `A file may be silent for at most ${silentMs / 1_000} s and last ${lastMs / 60_000} min. Send it again with the same key.`,
  });
}
