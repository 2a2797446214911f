import { describe, expect, test } from 'vitest';
import { checkRow } from '../../activities/batches/check-row.ts';
import type { Row } from '../../activities/batches/row.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { triggerWorkflow } from '../../activities/operations/trigger-workflow.ts';
import type { FileOptions } from '../../api/batches/rows/read-rows.ts';
import { UnreadableFile } from '../../api/batches/rows/rows.ts';
import { readFile } from '../support/batch-files.ts';

const MIB = 1024 * 1024;

const json = (file: Parameters<typeof readFile>[0], options: Partial<FileOptions> = {}) =>
  readFile(file, { operation: createCustomer, ...options });
const csv = (file: Parameters<typeof readFile>[0], options: Partial<FileOptions> = {}) =>
  readFile(file, { operation: createCustomer, format: 'csv', ...options });

/** What is told of each row: why it is malformed, else its body. */
const told = (rows: readonly Row[]) =>
  rows.map((row) => [row.row, row.line, 'malformed' in row ? row.malformed : row.input.body]);
/** What the check says of each row: its pointers, else the input of its write. */
const checked = (rows: readonly Row[]) =>
  rows.map((row) => {
    const result = checkRow(row, { operations: OPERATIONS, operation: createCustomer, sha256: '' });
    return 'code' in result ? [result.code, ...result.errors.map(({ pointer }) => pointer)] : result.input.body;
  });

describe('a file that is not text in UTF-8', () => {
  test.each<[string, Buffer, string]>([
    ['UTF-16, little-endian', Buffer.from('\uFEFFname\na\n', 'utf16le'), 'save it as UTF-8'],
    ['UTF-16, big-endian', Buffer.from('\uFEFFname\na\n', 'utf16le').swap16(), 'save it as UTF-8'],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0]), 'gunzip'],
    ['a workbook', Buffer.from('PK\x03\x04 [Content_Types].xml'), 'Excel workbook'],
    ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x24, 0]), 'zstd -dc'],
  ])('is refused as a whole, with what to do: %s', async (_, file, message) => {
    for (const read of [json, csv]) {
      await expect(read(file)).rejects.toBeInstanceOf(UnreadableFile);
      await expect(read(file)).rejects.toThrow(message);
    }
  });

  test('but Latin-1 in single rows has these malformed, and no character replaced', async () => {
    const latin1 = Buffer.from('\nGr\xfcn', 'latin1');
    const [before, after] = [Buffer.from('name\nGrün \uFFFD'), Buffer.from('\nBlau\n')];
    const rows = told(await csv(Buffer.concat([before, latin1, after])));
    expect(rows).toEqual([
      [1, 2, { name: 'Grün \uFFFD' }],
      [2, 3, 'not UTF-8 (line 3)'],
      [3, 4, { name: 'Blau' }],
    ]);
    const lines = ['{"name":"é"}\n', '{"name":"\xe9"}\n{"name":"a"}\n', '{"name":"漢"}'];
    const encoded = lines.map((text, index) => Buffer.from(text, index === 1 ? 'latin1' : 'utf8'));
    expect(told(await json(pieces(Buffer.concat(encoded))))).toEqual([
      [1, 1, { name: 'é' }],
      [2, 2, 'not UTF-8'],
      [3, 3, { name: 'a' }],
      [4, 4, { name: '漢' }],
    ]);
  });

  test('but empty has no rows; as CSV it lacks the names of its columns', async () => {
    for (const empty of ['', '\n\n', '\r\n\r\n', '\uFEFF', '\uFEFF\n']) {
      expect(await json(empty)).toEqual([]);
      await expect(csv(empty)).rejects.toThrow(
        new UnreadableFile('The file is empty: its first line must name the columns.'),
      );
    }
    expect(await csv('name\n')).toEqual([]);
  });
});

describe('a row that is too long', () => {
  test('is malformed alone, and little of it is kept while it is read', async () => {
    const before = process.memoryUsage();
    let peak = 0;
    const watch = async function* () {
      yield Buffer.from('{"name":"a"}\n{"name":"');
      const piece = Buffer.alloc(MIB, 'x');
      for (let sent = 0; sent < 300; sent += 1) {
        yield piece;
        const { heapUsed, external } = process.memoryUsage();
        peak = Math.max(peak, heapUsed + external - before.heapUsed - before.external);
      }
      yield Buffer.from('"}\n{"name":"b"}');
    };
    const bodies = [
      [1, 1, { name: 'a' }],
      [2, 2, 'longer than 2097152 bytes'],
      [3, 3, { name: 'b' }],
    ];
    expect(told(await json(watch()))).toEqual(bodies);
    expect(peak).toBeLessThan(150 * MIB);
  });

  test.each([
    ['of many cells', ','.repeat(3 * MIB)],
    ['of one cell', 'x'.repeat(3 * MIB)],
    ['of one quoted cell', `"${'x'.repeat(3 * MIB)}"`],
    ['of quotes', `"${'""'.repeat(3 * MIB)}"`],
  ])('is malformed alone in CSV, too: one %s', async (_, record) => {
    expect(told(await csv(`name,email\n${record}\nb,b@b.test`))).toEqual([
      [1, 2, 'longer than 2097152 bytes (line 2)'],
      [2, 3, { name: 'b', email: 'b@b.test' }],
    ]);
  });

  test('and looks like rows within its quotes is not read as rows', async () => {
    const text = `name,email\n"${'x'.repeat(3 * MIB)}\nforged,f@f.test\n",a@a.test\nb,b@b.test`;
    expect(told(await csv(text))).toEqual([
      [1, 2, 'longer than 2097152 bytes (lines 2 to 4)'],
      [2, 5, { name: 'b', email: 'b@b.test' }],
    ]);
  });
});

describe('CSV', () => {
  test('with a quote out of place has one row malformed, up to where cells can be told apart again', async () => {
    const file = 'name,email\na,a@a.test\n"b,b@b.test\nc,"c@c.test"\nd,d@d.test\n';
    expect(told(await csv(file))).toEqual([
      [1, 2, { name: 'a', email: 'a@a.test' }],
      [2, 3, 'a quoted cell goes on after a quote (lines 3 to 4)'],
      [3, 5, { name: 'd', email: 'd@d.test' }],
    ]);
    expect(told(await csv('name\na\n"b\nc\n'))).toEqual([
      [1, 2, { name: 'a' }],
      [2, 3, 'a quoted cell does not end (lines 3 to 5)'],
    ]);
    await expect(csv('name,"email\na,b\n')).rejects.toThrow('The header line is malformed: a quoted cell does not end');
  });

  test('has at most 1,000 columns, and rows of more cells are malformed', async () => {
    const keys = (count: number) => Array.from({ length: count }, (_, index) => `metadata.k${index}`).join(',');
    await expect(csv(`${keys(1_001)}\n`)).rejects.toThrow(new UnreadableFile('The file has more than 1000 columns.'));
    expect(told(await csv(`${keys(1_000)}\n${','.repeat(1_000)}\n`))).toEqual([[1, 2, '1001 cells for 1000 columns']]);
  });

  test('has its blank lines skipped and its line ends dropped, whichever they are', async () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const rows = told(await csv(['name,email', '', 'a,"x', 'y"', '', '', 'b,c'].join(end)));
      expect(rows).toEqual([
        [1, 3, { name: 'a', email: `x${end}y` }],
        [2, 7, { name: 'b', email: 'c' }],
      ]);
    }
  });

  test('tells of long names and cells no more than their beginning', async () => {
    const long = 'x'.repeat(MIB);
    const failed = await csv(`${long}\n`).catch((error: Error) => error.message);
    expect(JSON.stringify(failed).length).toBeLessThan(1_000);
    const [row] = told(await csv(`amount\n${long}\n`, { operation: createPayment }));
    expect(JSON.stringify(row).length).toBeLessThan(200);
    const refused = await csv('\u001b[2J\n').catch((error: Error) => error.message);
    expect(refused).toContain('createCustomer has no \uFFFD[2J.');
    expect(told(await json('{"name":\u001b[2J'))[0]?.[2]).not.toContain('\u001b');
    const [named] = told(await json(`{"operation":"${long}","body":{}}`));
    expect(JSON.stringify(named).length).toBeLessThan(200);
  });
});

describe('names that objects have by themselves', () => {
  test('are members like others, and change no object', async () => {
    const lines = [
      '{"__proto__":{"polluted":1},"name":"a"}',
      '{"constructor":{"prototype":{"polluted":1}},"name":"a"}',
      '{"key":"k","body":{"name":"a","metadata":{"__proto__":"x"}}}',
      '{"name":"a","metadata":{"constructor":"x"}}',
    ];
    expect(checked(await json(lines.join('\n')))).toEqual([
      ['validation_failed', '/__proto__'],
      ['validation_failed', '/constructor'],
      ['validation_failed', '/metadata'],
      { name: 'a', metadata: { constructor: 'x' } },
    ]);
    // A member that a row does not have is not found in its prototype.
    const [row] = await json('{"name":"a"}', { keyColumn: 'constructor' });
    expect(row).toEqual({ row: 1, line: 1, input: { params: {}, body: { name: 'a' } } });
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test('are columns like others, where the operation has them', async () => {
    for (const column of ['__proto__', '__proto__.polluted', 'constructor', 'constructor.prototype.polluted']) {
      await expect(csv(`${column}\n1\n`)).rejects.toThrow(`createCustomer has no ${column}`);
    }
    const rows = await csv('name,metadata.constructor,metadata.__proto__\na,x,\nb,,y\n');
    expect(checked(rows)).toEqual([{ name: 'a', metadata: { constructor: 'x' } }, ['validation_failed', '/metadata']]);
    const columns = 'name,payload.__proto__,payload.constructor';
    const bodies = (await csv(`${columns}\ncloseMonth,1,2\n`, { operation: triggerWorkflow })).map(
      (row) => 'input' in row && JSON.stringify(row.input.body),
    );
    expect(bodies).toEqual(['{"payload":{"__proto__":1,"constructor":2}}']);
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });
});

describe('texts and numbers that no ledger can keep', () => {
  test('are malformed where JSON forbids them, and told by their pointer where the schema does', async () => {
    const lines = [
      '{"name":"a\0b"}',
      '{"name":"a\\u0000b"}',
      '{"name":"a\\ud800b"}',
      '{"key":"k\\u0000","body":{"name":"a"}}',
      '{"name":"first","name":"last"}',
    ];
    const rows = await json(lines.join('\n'));
    expect(told(rows)[0]).toEqual([1, 1, expect.stringContaining('not JSON')]);
    expect(checked(rows)).toEqual([
      ['validation_failed', ''],
      ['validation_failed', '/name'],
      ['validation_failed', '/name'],
      ['validation_failed', '/key'],
      // As the API reads them.
      { name: 'last' },
    ]);
    expect(checked(await csv('name\na\0b\n"a"\0,\n'))[0]).toEqual(['validation_failed', '/name']);
  });

  test('are no numbers beyond 2^53', async () => {
    const [example] = createPayment.examples;
    const amounts = ['9007199254740993', '1e400', '1e3', '-0', '0.5'];
    const lines = amounts.map((amount) => JSON.stringify({ ...example?.body, amount: 0 }).replace(':0', `:${amount}`));
    const rows = await json(lines.join('\n'), { operation: createPayment });
    const codes = rows.map((row) => {
      const result = checkRow(row, { operations: OPERATIONS, operation: createPayment, sha256: '' });
      return 'code' in result ? result.errors[0]?.pointer : result.input.body['amount'];
    });
    expect(codes).toEqual(['/amount', '/amount', 1_000, '/amount', '/amount']);
    const cells = await csv(`amount\n${amounts.join('\n')}\n`, { operation: createPayment });
    expect(told(cells).map(([, , what]) => what)).toEqual([
      'column amount: not a number: "9007199254740993"',
      'column amount: not a number: "1e400"',
      'column amount: not a number: "1e3"',
      { amount: -0 },
      { amount: 0.5 },
    ]);
  });

  test('nested a million levels deep are read, and refused by the check', async () => {
    const deep = `{"name":${'['.repeat(500_000)}${']'.repeat(500_000)}}`;
    expect(checked(await json(`${deep}\n{"name":"a"}`))).toEqual([['validation_failed', ''], { name: 'a' }]);
  });
});

async function* pieces(file: Buffer): AsyncGenerator<Buffer> {
  yield file;
}
