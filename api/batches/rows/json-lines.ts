import type { Operation } from '../../../activities/operation.ts';
import { MalformedRow, type Row, type RowInput } from './rows.ts';

/** The API accepts bodies of at most 1 MiB; this leaves room for white space and the key. */
const MAX_LINE_BYTES = 2 * 1024 * 1024;
const LINE_FEED = 0x0a;

/** The members in which a row may have its key. */
const KEY_MEMBERS = ['key', 'idempotencyKey'];
const ENVELOPE_MEMBERS = new Set([...KEY_MEMBERS, 'params', 'body']);

/** Reads one JSON object per line, `{key?, params?, body}` or the body itself; skips blank lines. */
export async function* jsonLines(
  bytes: AsyncIterable<Buffer>,
  operation: Operation,
  keyMember: string | undefined,
): AsyncGenerator<Row> {
  let row = 0;
  let line = 0;
  for await (const text of lines(bytes)) {
    line += 1;
    if (typeof text === 'string' && text.trim() === '') continue;
    row += 1;
    yield { row, line, ...readLine(text, operation, keyMember) };
  }
}

function readLine(line: string | MalformedRow, operation: Operation, keyMember: string | undefined) {
  try {
    if (typeof line !== 'string') throw line;
    return { input: toInput(parseObject(line), operation, keyMember) };
  } catch (error) {
    if (error instanceof MalformedRow) return { malformed: error.message };
    throw error;
  }
}

function parseObject(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new MalformedRow(`not JSON: ${(error as Error).message}`);
  }
  if (!isObject(value)) throw new MalformedRow('not a JSON object');
  return value;
}

function toInput(value: Record<string, unknown>, operation: Operation, keyMember: string | undefined): RowInput {
  const isEnvelope =
    isObject(value['body']) &&
    !('body' in operation.body.shape) &&
    Object.keys(value).every((member) => ENVELOPE_MEMBERS.has(member) || member === keyMember);
  if (isEnvelope) {
    const { params = {} } = value;
    if (!isObject(params)) throw new MalformedRow('params is not an object');
    return { key: keyOf(value, keyMember), params, body: value['body'] as Record<string, unknown> };
  }
  // The line is the body itself: a member that the body does not have may be the key or a path parameter.
  const body = { ...value };
  const take = (name: string) => {
    const taken = body[name];
    delete body[name];
    return taken;
  };
  const foreign = (name: string) => name in body && !(name in operation.body.shape);
  const params = Object.fromEntries(
    Object.keys(operation.params.shape)
      .filter(foreign)
      .map((name) => [name, take(name)]),
  );
  const keyNames = keyMember === undefined ? KEY_MEMBERS.filter(foreign) : [keyMember];
  return { key: keyNames.map(take).find((key) => key !== undefined), params, body };
}

function keyOf(value: Record<string, unknown>, keyMember: string | undefined): unknown {
  const names = keyMember === undefined ? KEY_MEMBERS : [keyMember];
  return names.map((name) => value[name]).find((key) => key !== undefined);
}

/**
 * Splits at line feeds only: JSON may contain U+2028 and U+2029, at which readline would also split. Buffers at most the limit
 * of a line that is too long.
 */
async function* lines(bytes: AsyncIterable<Buffer>): AsyncGenerator<string | MalformedRow> {
  let parts: Buffer[] = [];
  let length = 0;
  const add = (part: Buffer) => {
    length += part.length;
    if (length <= MAX_LINE_BYTES) parts.push(part);
    else parts = [];
  };
  const end = () => {
    const line = length > MAX_LINE_BYTES ? new MalformedRow(`longer than ${MAX_LINE_BYTES} bytes`) : decode(parts);
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of bytes) {
    let from = 0;
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, from)) {
      add(chunk.subarray(from, at));
      yield end();
      from = at + 1;
    }
    add(chunk.subarray(from));
  }
  if (length > 0) yield end();
}

/** Drops a byte order mark. Bytes that are not UTF-8 make the row malformed; they must not be replaced silently. */
function decode(parts: readonly Buffer[]): string | MalformedRow {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    return new MalformedRow('not UTF-8');
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
