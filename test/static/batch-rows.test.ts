import { describe, expect, test } from 'vitest';
import type { Row } from '../../activities/batches/row.ts';
import type { Operation } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { createInvoice } from '../../activities/operations/create-invoice.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { finalizeInvoice } from '../../activities/operations/finalize-invoice.ts';
import { API_ADVICE } from '../../api/batches/rows/column-advice.ts';
import { UnreadableFile } from '../../api/batches/rows/rows.ts';
import { fileOptionsOf } from '../../deploy/cli/file-options.ts';
import { readFile } from '../support/batch-files.ts';

const ARGUMENTS = { operation: 'createPayment', delimiter: ',', map: new Map<string, string>() };
const INVOICE = '0f7c7a52-6f5b-4d3f-9a1c-2f1f6a2b3c4d';

describe('JSON lines', () => {
  const read = readFile;

  test('are an envelope or the body itself, with a key or without', async () => {
    const rows = await read(
      [
        '{"key":"a","body":{"amount":1}}',
        '{"amount":2}',
        '{"idempotencyKey":"c","amount":3}',
        '{"idempotencyKey":"d","params":{},"body":{"amount":4}}',
      ].join('\n'),
    );
    expect(rows.map((row) => ('input' in row ? [row.row, row.input.key, row.input.body] : row))).toEqual([
      [1, 'a', { amount: 1 }],
      [2, undefined, { amount: 2 }],
      [3, 'c', { amount: 3 }],
      [4, 'd', { amount: 4 }],
    ]);
  });

  test('need no body where they are the request of an operation that needs none', async () => {
    const lines = [
      `{"key":"a","params":{"invoiceId":"${INVOICE}"}}`,
      '{"key":"b","operation":"createPayment"}',
      '{"key":"c"}',
    ];
    const rows = await read(lines.join('\n'), { operation: finalizeInvoice });
    expect(rows.map((row) => ('input' in row ? row.input : row))).toEqual([
      { key: 'a', operation: undefined, params: { invoiceId: INVOICE }, body: {} },
      { key: 'b', operation: 'createPayment', params: {}, body: {} },
      { key: 'c', operation: undefined, params: {}, body: {} },
    ]);
  });

  test('have one key', async () => {
    const rows = await read('{"key":"a","idempotencyKey":"b","body":{}}\n{"key":null,"idempotencyKey":"b","amount":1}');
    expect(rows.map((row) => 'malformed' in row && row.malformed)).toEqual([
      'it has two keys, "a" and "b"',
      'it has two keys, null and "b"',
    ]);
  });

  test('may give a parameter of the path beside the members of the body', async () => {
    const rows = await read(`{"invoiceId":"${INVOICE}","issueDate":"2026-02-01"}`, { operation: finalizeInvoice });
    expect(rows).toEqual([
      { row: 1, line: 1, input: { key: undefined, params: { invoiceId: INVOICE }, body: { issueDate: '2026-02-01' } } },
    ]);
  });

  test('may name an operation each, which goes before that of the file', async () => {
    const lines = [
      `{"key":"a","operation":"finalizeInvoice","params":{"invoiceId":"${INVOICE}"},"body":{}}`,
      '{"operation":"createPaymet","body":{}}',
      '{"operation":7,"body":{}}',
      '{"operation":"createPayment","body":{},"note":"x"}',
      '{"body":{"amount":1}}',
      '{"amount":2}',
    ].join('\n');
    const told = async (operation: Operation | undefined) =>
      (await read(lines, { operation })).map((row) => ('malformed' in row ? row.malformed : row.input));
    const named = { key: 'a', operation: 'finalizeInvoice', params: { invoiceId: INVOICE }, body: {} };
    const bad = [
      'there is no operation "createPaymet"',
      'there is no operation 7',
      'beside "operation" and "body" there is no member "note"',
    ];
    expect(await told(createPayment)).toEqual([
      named,
      ...bad,
      { operation: undefined, params: {}, body: { amount: 1 } },
      { operation: undefined, params: {}, body: { amount: 2 } },
    ]);
    expect(await told(undefined)).toEqual([
      named,
      ...bad,
      'neither the row nor the file has an operation',
      expect.stringContaining('without an operation of the file, a row is {"key": …, "operation": …'),
    ]);
  });

  test('take the key from the member that is named', async () => {
    const rows = await read('{"order":"4711","amount":1}', { keyColumn: 'order' });
    expect(rows).toEqual([{ row: 1, line: 1, input: { key: '4711', params: {}, body: { amount: 1 } } }]);
  });

  test('end at line feeds only, whatever a text holds and wherever the bytes are cut', async () => {
    const [row, next] = await read('\uFEFF{"reference":"a\u2028b é 漢"}\r\n\n{"amount":1}');
    expect(row).toMatchObject({ row: 1, line: 1, input: { body: { reference: 'a\u2028b é 漢' } } });
    expect(next).toMatchObject({ row: 2, line: 3, input: { body: { amount: 1 } } });
  });

  test('that cannot be read are told by their line, and the rows after them keep their number', async () => {
    const rows = await read(
      Buffer.concat([
        Buffer.from('{"amount":1\n[1]\n'),
        Buffer.from([0x7b, 0xff, 0x7d, 0x0a]),
        Buffer.from(`"${'x'.repeat(3 * 1024 * 1024)}"\n{"amount":5}\n`),
      ]),
    );
    expect(
      rows.map((row) => [row.row, row.line, 'malformed' in row ? row.malformed.slice(0, 20) : row.input.body]),
    ).toEqual([
      [1, 1, expect.stringContaining('not JSON')],
      [2, 2, 'not a JSON object'],
      [3, 3, 'not UTF-8'],
      [4, 4, 'longer than 2097152 '],
      [5, 5, { amount: 5 }],
    ]);
  });
});

describe('a row that cannot be read', () => {
  const keysOf = (rows: readonly Row[]) =>
    rows.map((row) => ('malformed' in row ? (row.key ?? 'none') : `readable: ${String(row.input.key)}`));

  test('has its key all the same where it stands on its own', async () => {
    const lines = [
      '{"key":"a","operation":"noSuch","body":{}}',
      '{"idempotencyKey":"b","params":7,"body":{}}',
      '{"key":"c","operation":"createPayment","body":{},"note":"x"}',
      '{"key":"d","operation":"createPayment"}',
      '{"key":"e","idempotencyKey":"f","body":{}}',
      '{"key":null,"operation":"noSuch","body":{}}',
      '{"operation":"noSuch","body":{}}',
      '["g"]',
      '{"key":"h",',
    ].join('\n');
    expect(keysOf(await readFile(lines))).toEqual(['a', 'b', 'c', 'readable: d', ...Array(5).fill('none')]);
    expect(keysOf(await readFile('{"key":"a","amount":1}', { operation: undefined }))).toEqual(['a']);
    const named = '{"Beleg":"b-1","key":"a","operation":"noSuch","body":{}}';
    expect(keysOf(await readFile(named, { keyColumn: 'Beleg' }))).toEqual(['b-1']);
  });

  test('has the key of its cell, unless it has too many cells or too few', async () => {
    const bytes = Buffer.from('key,amount,reference\na,x,\nb,1,\xe9\nc,1\nd,1,2,3\n,x,\ne,1,x"y\nf,1,\n', 'latin1');
    const rows = await readFile(bytes, { format: 'csv' });
    expect(keysOf(rows)).toEqual(['a', 'b', 'none', 'none', '', 'none', 'readable: f']);
    const other = await readFile('Beleg;amount\nb-1;x\n', { format: 'csv', delimiter: ';', keyColumn: 'Beleg' });
    expect(keysOf(other)).toEqual(['b-1']);
    expect(keysOf(await readFile('amount\nx\n', { format: 'csv' }))).toEqual(['none']);
  });
});

describe('CSV', () => {
  const read = (
    text: string,
    operation: Operation | undefined,
    { map = {}, keyColumn = undefined as string | undefined, delimiter = ',' } = {},
  ) => readFile(text, { format: 'csv', operation, keyColumn, delimiter, map: new Map(Object.entries(map)) });

  test('has numbers where the operation has them, and texts where they only look like numbers', async () => {
    const rows = await read(
      `key,invoiceId,amount,currency,method,reference,metadata.2026\n007,${INVOICE},2500,USD,card,0815,1\n`,
      createPayment,
    );
    const body = { invoiceId: INVOICE, amount: 2500, currency: 'USD', method: 'card', reference: '0815' };
    expect(rows).toEqual([
      { row: 1, line: 2, input: { key: '007', params: {}, body: { ...body, metadata: { '2026': '1' } } } },
    ]);
  });

  test('has lists, by dots, brackets or JSON pointers, and leaves out what is empty', async () => {
    const columns =
      'customerId,lines.0.description,lines[0].quantity,/lines/0/unitPrice,lines.1.description,lines.1.unitPrice';
    const rows = await read(`${columns}\n${INVOICE},"Work, ""hard""",1.5,333,,\n`, createInvoice);
    expect(rows[0]).toMatchObject({
      input: {
        body: { customerId: INVOICE, lines: [{ description: 'Work, "hard"', quantity: '1.5', unitPrice: 333 }] },
      },
    });
  });

  test('has columns of other names, by a map, another delimiter, and a column for the key', async () => {
    const rows = await read('\uFEFFBeleg;Rechnung;Datum;Notiz\r\nB-1;R1;2026-02-01;x\r\n', finalizeInvoice, {
      delimiter: ';',
      keyColumn: 'Beleg',
      map: { Rechnung: 'params.invoiceId', Datum: 'issueDate', Notiz: '-' },
    });
    expect(rows).toEqual([
      { row: 1, line: 2, input: { key: 'B-1', params: { invoiceId: 'R1' }, body: { issueDate: '2026-02-01' } } },
    ]);
  });

  test('tells a malformed row by its lines, and reads on', async () => {
    const rows = await read('name,email\nA,a@b.test\n"B\nb",b@b.test\nC\nbad"quote,c\nE,\n', createCustomer);
    expect(rows.map((row) => [row.row, row.line, 'malformed' in row ? row.malformed : row.input.body])).toEqual([
      [1, 2, { name: 'A', email: 'a@b.test' }],
      [2, 3, { name: 'B\nb', email: 'b@b.test' }],
      [3, 5, '1 cells for 2 columns'],
      [4, 6, expect.stringContaining('(line 6)')],
      [5, 7, { name: 'E' }],
    ]);
    const [row] = await read(`invoiceId,amount\n${INVOICE},25.-\n`, createPayment);
    expect(row).toMatchObject({ line: 2, malformed: 'column amount: not a number: "25.-"' });
  });

  test('with a column that has no place, or two for one place, is refused as a whole', async () => {
    await expect(read('invoiceId,betrag\n1,2\n', createPayment)).rejects.toThrow('createPayment has no betrag');
    await expect(read('amount,x\n1,2\n', createPayment, { map: { x: 'amount' } })).rejects.toThrow(
      'set the same member',
    );
    await expect(read('amount\n1\n', createPayment, { map: { y: 'amount' } })).rejects.toThrow('There is no column y');
    await expect(read('', createPayment)).rejects.toThrow('The file is empty');
    await expect(read('amount\n1\n', undefined)).rejects.toThrow('CSV needs an operation');
    await expect(read('amount\n1\n', undefined)).rejects.toBeInstanceOf(UnreadableFile);
  });

  test.each([
    ['API', 'Name each column after the path', 'Separate them by commas.', 'Separate them by commas.'],
    ['command', 'Give --map "betrag=<path>"', 'Give --delimiter ";".', 'Give --delimiter "\\t".'],
  ])('with a header that does not fit is told what a sender by the %s can do', async (sender, map, cells, tabs) => {
    const { advice } = sender === 'API' ? { advice: API_ADVICE } : fileOptionsOf('a.csv', ARGUMENTS);
    const readCsv = (text: string, options = {}) => readFile(text, { format: 'csv', advice, ...options });
    const refusal = (text: string, options = {}) =>
      readCsv(text, options).then(
        () => 'none',
        ({ message }: Error) => message,
      );
    const unknown = await refusal('betrag,currency\n1,USD\n');
    expect(unknown).toContain(`Column "betrag": createPayment has no betrag. ${map}`);
    for (const [name, separated, told] of [
      ['amount;currency', '";"', cells],
      ['amount\tcurrency', 'tabs', tabs],
      [`amount;${'x'.repeat(600)}`, '";"', cells],
    ] as const) {
      const refused = await refusal(`${name}\n1\n`, { map: new Map([['amount', 'amount']]) });
      expect(refused).toMatch(/^The file has one column, "amount.*/);
      expect(refused).toContain(`its cells seem to be separated by ${separated}. ${told}`);
    }
    for (const message of sender === 'API' ? [unknown, cells, tabs] : []) expect(message).not.toContain('--');
    // A name that has a place is a name.
    expect(await readCsv('metadata.a;b\n1\n')).toMatchObject([{ input: { body: { metadata: { 'a;b': '1' } } } }]);
    expect(await readCsv('a;b\n1\n', { map: new Map([['a;b', 'amount']]) })).toMatchObject([
      { input: { body: { amount: 1 } } },
    ]);
  });
});
