import { exactJson } from '../../activities/batches/exact-json.ts';
import type { FileOperations, Row } from '../../activities/batches/row.ts';
import { BODY_TOO_DEEP, isNestedTooDeep, MAX_BODY_DEPTH } from '../../activities/body-limits.ts';
import { ApiProblem } from '../http/problems.ts';
import { invalidPart } from '../http/validation.ts';
import { tooLarge, type UploadLimits } from './limits.ts';
import { API_ADVICE } from './rows/column-advice.ts';
import { type Format, readRows } from './rows/read-rows.ts';
import { MAX_ROW_BYTES } from './rows/rows.ts';
import { inTurns } from './turns.ts';

/** A row of a file, with the JSON of its input, or of why it is malformed. */
export type FileRow = { readonly row: Row; readonly content: string };

/** Of a row's JSON, what is not the sender's: a row that is the body itself gets names around it. */
const FRAME_BYTES = 64;
/** A row with a body as deep as one may be. */
const INPUT_DEPTH = MAX_BODY_DEPTH + 1;

/**
 * The rows of a file that is sent, within its limits. What a row becomes counts, too: a line of CSV may be a small part of that.
 * Lets the other requests of the process have their turns. Throws `body_too_large`, UnreadableFile, and what `bytes` throws.
 */
export async function* rowsOfFile(
  bytes: AsyncIterable<Buffer>,
  { operation, operations, format }: FileOperations & { readonly format: Format },
  limits: UploadLimits,
): AsyncGenerator<FileRow> {
  const options = {
    operation,
    operations,
    format,
    delimiter: ',',
    keyColumn: undefined,
    map: new Map<string, string>(),
    advice: API_ADVICE,
  };
  let rest = limits.bytes;
  for await (const given of readRows(inTurns(bytes), options)) {
    if (given.row > limits.rows) throw tooMany(limits);
    const read = toFileRow(given);
    rest -= Math.max(0, Buffer.byteLength(read.content) - FRAME_BYTES);
    if (rest < 0) throw tooLarge(limits);
    yield read;
  }
}

function toFileRow(given: Row): FileRow {
  if ('malformed' in given) return malformed(given, given.malformed);
  // What JSON would exhaust the stack with.
  if (isNestedTooDeep(given.input, INPUT_DEPTH)) return malformed(given, `its body ${BODY_TOO_DEEP}`);
  const content = exactJson(given.input);
  if (Buffer.byteLength(content) > MAX_ROW_BYTES) return malformed(given, `as JSON longer than ${MAX_ROW_BYTES} bytes`);
  return { row: given, content };
}

function malformed(given: Row, reason: string): FileRow {
  const { row, line } = given;
  const key = 'input' in given ? given.input.key : given.key;
  return { row: { row, line, malformed: reason, key }, content: JSON.stringify(reason) };
}

export function noRows(): ApiProblem {
  return invalidPart('body', '', 'must have at least one row');
}

function tooMany({ rows }: UploadLimits): ApiProblem {
  return new ApiProblem('body_too_large', {
    detail: `A batch has at most ${rows.toLocaleString('en')} rows. Send the rest as another batch.`,
  });
}
