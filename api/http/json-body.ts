import { BODY_TOO_DEEP, MAX_BODY_DEPTH } from '../../activities/body-limits.ts';
import { ApiProblem } from './problems.ts';
import { invalidPart } from './validation.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

/** Parses a body. Throws `validation_failed` where it is nested too deep, `malformed_json` where it is not JSON in UTF-8. */
export function parseJsonBody(body: Buffer): unknown {
  if (isTooDeep(body)) throw invalidPart('body', '', BODY_TOO_DEEP);
  try {
    return JSON.parse(utf8.decode(body));
  } catch {
    throw new ApiProblem('malformed_json', { detail: 'The body must be one JSON value in UTF-8.' });
  }
}

/** Looks at the bytes, before anything is made of them. No byte of a longer UTF-8 sequence equals one of these. */
function isTooDeep(body: Buffer): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at];
    if (inString) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) {
      inString = true;
    } else if (byte === OPENING_BRACKET || byte === OPENING_BRACE) {
      depth += 1;
      if (depth > MAX_BODY_DEPTH) return true;
    } else if (byte === CLOSING_BRACKET || byte === CLOSING_BRACE) {
      depth -= 1;
    }
  }
  return false;
}
