import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { createInvoice } from '../../activities/operations/create-invoice.ts';
import { rowsOfFile } from '../../api/batches/file-rows.ts';
import { UPLOAD_LIMITS } from '../../api/batches/limits.ts';
import { UnreadableFile } from '../../api/batches/rows/rows.ts';
import { validateFile } from '../../api/batches/validate.ts';
import { readFile } from '../support/batch-files.ts';

const MIB = 1024 * 1024;

const header = (columns: string, operation = createInvoice) =>
  readFile(`${columns}\n`, { format: 'csv', operation }).then(
    () => 'read',
    (error: Error) => [error instanceof UnreadableFile, error.message],
  );

describe('the header of a CSV file', () => {
  test.each([
    ['lines.9999.quantity', 'lines.9999.quantity', 'lines.9998'],
    ['lines.1.quantity', 'lines.1.quantity', 'lines.0'],
    ['lines[0].quantity,lines[2].quantity', 'lines[2].quantity', 'lines.1'],
    ['lines.2.quantity,/lines/1/quantity,lines.3.quantity', '/lines/1/quantity', 'lines.0'],
  ])('is refused where an element lacks the one before it: %s', async (columns, column, before) => {
    expect(await header(columns)).toEqual([
      true,
      `Column "${column}": there is no column for the element before it, ${before}. Number the elements from 0, without gaps.`,
    ]);
  });

  test.each(['lines.0.quantity', 'lines[1].quantity,lines[0].unitPrice', 'lines.0.quantity,lines.1', 'lines'])(
    'may name elements without gaps, in any order: %s',
    async (columns) => {
      expect(await header(columns)).toBe('read');
    },
  );

  test('has names of at most 500 characters', async () => {
    const name = (length: number) => 'metadata.'.padEnd(length, 'x');
    expect(await header(`name,${name(500)}`, createCustomer)).toBe('read');
    const [isWhole, message] = (await header(`name,${name(501)}`, createCustomer)) as [boolean, string];
    expect([isWhole, message]).toEqual([true, expect.stringMatching(/^The name of a column has more than 500 /)]);
    expect(message.length).toBeLessThan(300);
  });
});

describe('what a row of a file becomes', () => {
  const read = async (file: string, bytes: number = UPLOAD_LIMITS.bytes) => {
    const options = { operation: createCustomer, operations: OPERATIONS, format: 'csv' } as const;
    const rows: string[] = [];
    const source = (async function* () {
      yield Buffer.from(file);
    })();
    for await (const { row, content } of rowsOfFile(source, options, { ...UPLOAD_LIMITS, bytes })) {
      rows.push('malformed' in row ? row.malformed : String(content.length));
    }
    return rows;
  };

  test('is malformed where its JSON is longer than a row may be', async () => {
    // Each of these has six characters in JSON.
    const bells = '\u0007'.repeat(MIB);
    expect(await read(`name\n${bells}\na\n`)).toEqual([
      'as JSON longer than 2097152 bytes',
      String(JSON.stringify({ params: {}, body: { name: 'a' } }).length),
    ]);
  });

  test('counts against the bytes of a file, by its JSON', async () => {
    const names = Array.from({ length: 1_000 }, (_, at) => `metadata.${String(at).padEnd(400, 'x')}`);
    const row = names.map(() => 1).join(',');
    const file = `${names.join(',')}\n${`${row}\n`.repeat(10)}`;
    expect(file.length).toBeLessThan(0.5 * MIB);
    expect((await read(file)).length).toBe(10);
    expect((await read(file, 5 * MIB)).length).toBe(10);
    await expect(read(file, MIB)).rejects.toMatchObject({ code: 'body_too_large' });
  });

  test('fits where the file does, though a row that is the body itself is longer in JSON', async () => {
    const file = 'name\na\nb\nc\n';
    expect((await read(file, Buffer.byteLength(file))).length).toBe(3);
  });
});

const PIECE_BYTES = 64 * 1024;

test.each([
  ['rows', '{"body":{"name":"A"}}\n{"body":{}}\n'.repeat(25_000), { rows: 50_000, valid: 25_000 }],
  ['blank lines', `${'\n'.repeat(3_000_000)}{"body":{"name":"A"}}`, { rows: 1, valid: 1 }],
])('a file of %s that is there at once leaves turns to the other requests of the process', async (_, text, valid) => {
  let turns = 0;
  let isOver = false;
  onTestFinished(() => {
    isOver = true;
  });
  const others = (async () => {
    for (; !isOver; turns += 1) await nextTurn();
  })();
  const file = Buffer.from(text);
  const bytes = (async function* () {
    for (let at = 0; at < file.length; at += PIECE_BYTES) yield file.subarray(at, at + PIECE_BYTES);
  })();
  const context = { operations: OPERATIONS, uploadLimits: UPLOAD_LIMITS };
  const before = turns;
  const checked = await validateFile(context, { operation: createCustomer, format: 'jsonl', bytes });
  expect(checked).toMatchObject(valid);
  expect(turns - before).toBeGreaterThan(3);
  isOver = true;
  await others;
});
