import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Row } from '../../activities/batches/row.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { readFile } from '../support/batch-files.ts';

/** What rows, lines and cells are made of, and what breaks them. */
const BITS = [
  ...['name', 'email', 'a', 'é', '漢', '\u2028', ' ', '\0', ',', ',', '"', '"', '""', '",', ',"', '"\n'],
  ...['\n', '\n', '\r\n', '\r', '{"name":"a"}', '{"name":"é"}\n', '{"name":', '}', '\uFEFF'],
];
const bytes = fc
  .array(
    fc.oneof(
      fc.constantFrom(...BITS).map((text) => Buffer.from(text)),
      fc.constant(Buffer.from([0xe9])),
    ),
    {
      maxLength: 40,
    },
  )
  .map((parts) => Buffer.concat(parts));

const json = (file: Buffer | AsyncIterable<Buffer>) => readFile(file, { operation: createCustomer });
const csv = (file: Buffer | AsyncIterable<Buffer>) => readFile(file, { operation: createCustomer, format: 'csv' });

describe('rows, lines and contents are the same wherever the bytes are cut,', () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 10 });

  test('in JSON lines', async () => {
    await fc.assert(
      fc.asyncProperty(bytes, cuts, async (file, sizes) => {
        expect(await json(cut(file, sizes))).toEqual(await json(cut(file, [file.length + 1])));
      }),
      { numRuns: 500 },
    );
  });

  test.each(['\n', '\r\n', '\r'])('in CSV whose lines end with %j', async (end) => {
    await fc.assert(
      fc.asyncProperty(bytes, cuts, async (rest, sizes) => {
        const file = Buffer.concat([Buffer.from(`name,email${end}`), rest]);
        expect(await csv(cut(file, sizes))).toEqual(await csv(cut(file, [file.length + 1])));
      }),
      { numRuns: 500 },
    );
  });

  test('also where a record is too long', async () => {
    const long = `name,email\n"${'x\n'.repeat(1_100_000)}",b\nc,d@e.test\n`;
    const expected = [
      { row: 1, line: 2, malformed: expect.stringMatching(/^longer than 2097152 bytes \(lines 2 to 1100002\)$/) },
      { row: 2, line: 1_100_003, input: { params: {}, body: { name: 'c', email: 'd@e.test' } } },
    ];
    for (const size of [10_007, 65_536, 1 << 30]) {
      expect(await csv(cut(Buffer.from(long), [size]))).toEqual(expected);
    }
  });
});

/**
 * Literals: the key of a row that has none is made from its number, so whoever changes how the rows of a file are counted
 * writes the rows of files that were sent before once more.
 */
test.each<[string, readonly (number | string)[]]>([
  ['a,b\n\n\nc,d', [1, 2]],
  ['a\nb,c', ['1 malformed', 2]],
  ['a,b"c\nd,e', ['1 malformed', 2]],
  ['a"b"c,d\ne,f', ['1 malformed', '2 malformed', 3]],
  ['"a"b,c",d\ne,f', ['1 malformed', 2]],
  ['"a,b\nc,d\n"e",f\ng,h', ['1 malformed', 2]],
  ['"a,b\nc,d\n', ['1 malformed']],
  ['"a"b,c\nd,e', ['1 malformed', '2 malformed']],
  ['""\n"",""\n', ['1 malformed', 2]],
  [',\n ,\n', [1, 2]],
])('the rows of %j have their numbers for ever', async (text, numbers) => {
  const rows = await csv(Buffer.from(`name,email\n${text}`));
  expect(rows.map(numbered)).toEqual(numbers);
});

function numbered(row: Row): number | string {
  return 'malformed' in row ? `${row.row} malformed` : row.row;
}

async function* cut(file: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (let turn = 0; at < file.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield file.subarray(at, at + size);
    at += size;
  }
}
