import { isKey } from '../../activities/identity.ts';
import { ApiProblem } from '../http/problems.ts';

/**
 * Reads the one `Idempotency-Key` header: an RFC 8941 string (`"k"`) or the bare key (`k`), which are the same key.
 * Takes Node's `rawHeaders`, since `headers` joins repeated lines into one value.
 */
export function readIdempotencyKey(rawHeaders: readonly string[]): string {
  const lines = rawHeaders.filter((_, index) => index % 2 === 1 && isKeyHeader(rawHeaders[index - 1]));
  const [line] = lines;
  if (line === undefined) {
    throw new ApiProblem('idempotency_key_missing', {
      detail:
        'Every write needs an Idempotency-Key header: a value of your own that names this one write, such as a UUID.',
    });
  }
  if (lines.length > 1) throw invalid('The request has more than one Idempotency-Key header.');
  return parseIdempotencyKey(line);
}

/** The key as a header value: bare where that is allowed, otherwise quoted. */
export function formatKey(key: string): string {
  return BARE.test(key) ? key : `"${key.replace(/["\\]/g, '\\$&')}"`;
}

/** 0x21–0x7E without `"` and `,`. */
const BARE = /^[\x21\x23-\x2b\x2d-\x7e]+$/;
/** RFC 8941, section 3.3.3, without parameters. */
const QUOTED = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;

function parseIdempotencyKey(value: string): string {
  const quoted = QUOTED.exec(value)?.[1];
  const key = value.startsWith('"') ? quoted?.replace(/\\(["\\])/g, '$1') : BARE.exec(value)?.[0];
  if (key === undefined || !isKey(key)) {
    throw invalid(
      'A key has 1–255 printable ASCII characters. Send it bare (without spaces, double quotes or commas) or as a quoted string.',
    );
  }
  return key;
}

function isKeyHeader(name: string | undefined): boolean {
  return name?.toLowerCase() === 'idempotency-key';
}

function invalid(detail: string): ApiProblem {
  return new ApiProblem('idempotency_key_invalid', { detail });
}
