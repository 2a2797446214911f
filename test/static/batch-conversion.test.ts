import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Row } from '../../activities/batches/row.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createInvoice } from '../../activities/operations/create-invoice.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { finalizeInvoice } from '../../activities/operations/finalize-invoice.ts';
import { API_ADVICE } from '../../api/batches/rows/column-advice.ts';
import type { FileOptions } from '../../api/batches/rows/read-rows.ts';
import { MalformedRow } from '../../api/batches/rows/rows.ts';
import { FileChanged, openUpload } from '../../deploy/batch/upload.ts';
import { openSource } from '../../deploy/cli/source.ts';
import { toRequest } from '../../deploy/replay/request.ts';
import { readFile } from '../support/batch-files.ts';
import { ndjson } from '../support/batches.ts';

describe('what is uploaded for a file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'accubooks-conversion-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const save = (text: string) => {
    const path = join(folder, 'rows');
    writeFileSync(path, text);
    return path;
  };
  const open = async (text: string, file: FileOptions) => {
    const source = await openSource(save(text));
    return { source, upload: openUpload(source, file, () => undefined) };
  };

  test('is the file as it is, unless that would mean something else', async () => {
    const csv = 'invoiceId,amount\nx,1\n';
    const plain = await open(csv, { ...FILE, format: 'csv' });
    expect([plain.upload.format, await textOf(plain.upload.read())]).toEqual(['csv', csv]);
    expect(await plain.upload.sha256()).toBe(sha256Of(csv));
    // The mapping is that of CSV alone.
    const lines = await open('{"amount":1}', { ...FILE, map: new Map([['Betrag', 'amount']]) });
    expect([lines.upload.format, await textOf(lines.upload.read())]).toEqual(['ndjson', '{"amount":1}']);
    const mapped = await open('Betrag;Beleg\n1;b-1\n2;\nx;b-3\n', {
      ...FILE,
      ...{ format: 'csv', delimiter: ';', keyColumn: 'Beleg', map: new Map([['Betrag', 'amount']]) },
    });
    const sent = await textOf(mapped.upload.read());
    expect([mapped.upload.format, await mapped.upload.sha256()]).toEqual(['ndjson', sha256Of(sent)]);
    expect(sent.split('\n').map((line) => (line === '' ? undefined : JSON.parse(line)))).toEqual([
      { key: 'b-1', params: {}, body: { amount: 1 } },
      { key: expect.stringMatching(/^[\da-f-]{36}$/), params: {}, body: { amount: 2 } },
      // Nothing that could be written, whatever the operation; the key tells which row it was.
      { key: 'b-3', operation: '', body: {} },
      undefined,
    ]);
  });

  test('is read from its beginning again after an attempt that broke off', async () => {
    const text = ndjson(Array.from({ length: 20_000 }, (_, index) => ({ amount: index })));
    for (const keyColumn of [undefined, 'Beleg']) {
      const { source, upload } = await open(text, { ...FILE, keyColumn });
      for await (const piece of upload.read()) {
        expect(piece.length).toBeLessThan(text.length);
        break;
      }
      expect(sha256Of(await textOf(upload.read()))).toBe(await upload.sha256());
      source.close();
    }
  });

  test('makes the writes that replay makes of the same file, whatever stands in it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(csvFile, jsonFile), async ({ text, options }) => {
        const file = { ...FILE, ...options };
        const { source, upload } = await open(text, file);
        const sent = await textOf(upload.read());
        const replayed = (await readFile(text, file)).map(writeOf(file, source.sha256));
        // Read as the API reads it, which knows the bytes that it was sent alone.
        const { operation } = file;
        const batched = (await readFile(sent, { operation })).map(writeOf({ ...FILE, operation }, sha256Of(sent)));
        expect(batched).toEqual(replayed);
      }),
      { numRuns: 300 },
    );
  });

  test('names no member of a body as an envelope names its own', () => {
    const hidden = OPERATIONS.filter(({ body }) => 'body' in body.shape || 'operation' in body.shape);
    expect(hidden.map(({ name }) => name)).toEqual([]);
  });

  test('does not end where the file has become another one meanwhile', async () => {
    const options: Partial<FileOptions> = { format: 'csv', delimiter: ';' };
    for (const file of [FILE, { ...FILE, ...options }]) {
      const { source, upload } = await open('amount;currency\n1;USD\n', file);
      writeFileSync(join(folder, 'rows'), 'amount;currency\n2;USD\n');
      await expect(textOf(upload.read())).rejects.toThrow(FileChanged);
      expect(upload.wasSentWhole()).toBe(false);
      source.close();
    }
  });
});

const FILE: FileOptions = {
  ...{ format: 'jsonl', delimiter: ',', keyColumn: undefined, map: new Map() },
  ...{ operations: OPERATIONS, operation: createPayment, advice: API_ADVICE },
};

type Write = { readonly method: string; readonly path: string; readonly key: string; readonly body: string };

function writeOf(file: FileOptions, sha256: string): (row: Row) => Write | 'malformed' {
  return (row) => {
    if ('malformed' in row) return 'malformed';
    try {
      const { method, path, key, body } = toRequest(file, row.input, sha256, row.row);
      return { method, path, key, body };
    } catch (error) {
      if (error instanceof MalformedRow) return 'malformed';
      throw error;
    }
  };
}

/** As people write it: quoted or not, with line ends within, and what is no number where one belongs. */
const cell = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('', '1', '250', '-7', '1.5', 'USD', 'a-1', 'é', '__proto__', '[1,2]') },
  fc.string({ maxLength: 12 }).map((text) => `"${text.replaceAll('"', '""')}"`),
  fc.string({ maxLength: 8 }),
);

const csvFile = fc
  .record({
    shape: fc.constantFrom(
      { operation: createPayment, columns: ['Rechnung=invoiceId', 'Betrag=amount', 'currency', 'Notiz=-'] },
      { operation: finalizeInvoice, columns: ['ID=params.invoiceId', 'Datum=issueDate'] },
      { operation: createInvoice, columns: ['Kunde=customerId', 'Menge=lines[0].quantity', 'lines.0.unitPrice'] },
    ),
    delimiter: fc.constantFrom(',', ';', '\t', '|'),
    keyColumn: fc.constantFrom(undefined, 'Beleg'),
    lineEnd: fc.constantFrom('\n', '\r\n'),
    rows: fc.array(fc.array(cell, { minLength: 3, maxLength: 6 }), { maxLength: 8 }),
  })
  .map(({ shape: { operation, columns }, delimiter, keyColumn, lineEnd, rows }) => {
    const map = new Map(
      columns.flatMap((column) => (column.includes('=') ? [column.split('=') as [string, string]] : [])),
    );
    const names = [...columns.map((column) => column.split('=')[0] ?? ''), keyColumn ?? 'key'];
    const text = [names, ...rows.map((row) => row.slice(0, names.length))].map((row) => row.join(delimiter));
    const options: Partial<FileOptions> = { format: 'csv', operation, delimiter, keyColumn, map };
    return { text: text.join(lineEnd), options };
  });

const member = fc.constantFrom(
  'key',
  'Beleg',
  'operation',
  'params',
  'body',
  'invoiceId',
  'amount',
  '__proto__',
  'more',
);
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom<unknown>('k-1', 'finalizeInvoice', 'createPaymet', null, 1e21, -0, {}),
  fc.record({ invoiceId: fc.constantFrom('i-1', '..', 7), amount: fc.integer() }, { requiredKeys: [] }),
);
/** As a program writes it, with the key where it may stand. */
const envelope = fc
  .record(
    {
      Beleg: fc.constantFrom<unknown>('b-1', 'b-2', '', null, 7),
      key: fc.constantFrom<unknown>('k-1', null),
      operation: fc.constantFrom('finalizeInvoice', 'createPayment', 'createPaymet'),
      params: fc.constantFrom({}, { invoiceId: 'i-1' }, { invoiceId: 'i-1', more: 'x' }),
      body: fc.record({ amount: fc.integer(), note: fc.string() }, { requiredKeys: [] }),
    },
    { requiredKeys: ['body'] },
  )
  .map((row) => JSON.stringify(row));
const line = fc.oneof(
  { weight: 3, arbitrary: envelope },
  fc.array(fc.tuple(member, value), { maxLength: 5 }).map((members) => {
    return `{${members.map(([name, held]) => `${JSON.stringify(name)}:${JSON.stringify(held)}`).join(',')}}`;
  }),
  fc.constantFrom(
    '',
    '  ',
    '{"amount":',
    '7',
    '{"body":{"amount":1e400}}',
    '{"body":{"amount":1.0},"Beleg":"\\ud800"}',
  ),
  fc.integer({ min: 25, max: 40 }).map((depth) => `{"body":{"more":${'['.repeat(depth)}${']'.repeat(depth)}}}`),
);

const jsonFile = fc
  .record({
    lines: fc.array(line, { maxLength: 10 }),
    operation: fc.constantFrom(undefined, createPayment, finalizeInvoice),
    keyColumn: fc.constantFrom(undefined, 'Beleg', 'idempotencyKey', 'operation'),
  })
  .map(({ lines, ...options }) => ({ text: lines.join('\n'), options: options as Partial<FileOptions> }));

async function textOf(bytes: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of bytes) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
