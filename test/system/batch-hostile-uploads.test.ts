import { randomUUID } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { UPLOAD_LIMITS } from '../../api/batches/limits.ts';
import { batchClient, ndjson, type Sending, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

const CUSTOMERS = 'createCustomer';
const MIB = 1024 * 1024;
const NDJSON = 'application/x-ndjson';

describe('a file that is no good', () => {
  let system: System;
  let worker: Awaited<ReturnType<typeof startBatchWorker>>;
  let company: Company;
  let api: ReturnType<typeof batchClient>;
  beforeAll(async () => {
    system = await startSystem();
    worker = await startBatchWorker(system);
    company = await system.company();
    api = batchClient(system, company);
  });
  afterAll(async () => {
    await worker.close();
    await system.stop();
  });

  const good = () => ndjson([{ body: { name: `Customer ${randomUUID()}` } }]);
  const chunks = async () => {
    const { rows } = await system.owner.query('SELECT count(*)::int AS count FROM batch_chunks WHERE company_id = $1', [
      company.id,
    ]);
    return rows[0].count as number;
  };
  /** Another API of the same system, with limits that a test need not wait for. */
  async function limited(uploadLimits: Partial<typeof UPLOAD_LIMITS>) {
    const { url } = await system.another({ uploadLimits });
    return { url, api: batchClient({ ...system, url }, company) };
  }
  /** Nothing of it is left, and the key is still free. */
  async function expectNothingLeft(before: number, key: string) {
    await expect.poll(chunks, { timeout: 60_000 }).toBe(before);
    const sent = await api.send(good(), { key, operation: CUSTOMERS });
    expect([sent.status, sent.json.rows, sent.replayed]).toEqual([202, 1, false]);
  }

  test('has the published limits', () => {
    expect(UPLOAD_LIMITS).toEqual({ rows: 1_000_000, bytes: 1024 ** 3, silentMs: 30_000, lastMs: 3_600_000 });
  });

  const HEADERS: readonly (readonly [string, Sending, number, string])[] = [
    ['has no key', {}, 400, 'idempotency_key_missing'],
    ['has a key of other characters', { key: 'a b' }, 400, 'idempotency_key_invalid'],
    ['has a key that is too long', { key: 'k'.repeat(256) }, 400, 'idempotency_key_invalid'],
    ['is said to be JSON', { key: 'h', type: 'application/json' }, 415, 'unsupported_media_type'],
    ['has no media type', { key: 'h', type: '' }, 415, 'unsupported_media_type'],
    ['is said to be UTF-16', { key: 'h', type: 'text/csv; charset=utf-16' }, 415, 'unsupported_media_type'],
    ['is compressed', { key: 'h', headers: { 'content-encoding': 'gzip' } }, 415, 'unsupported_media_type'],
    ['is of an operation that is none', { key: 'h', operation: 'noSuch' }, 422, 'validation_failed'],
    ['is of an operation of every object', { key: 'h', operation: 'constructor' }, 422, 'validation_failed'],
  ];
  test.each(HEADERS)('is refused before it is read where it %s', async (_, sending, status, code) => {
    const before = await chunks();
    const answer = await api.send(good(), { operation: CUSTOMERS, ...sending });
    expect([answer.status, answer.json.code]).toEqual([status, code]);
    const { rows } = await system.owner.query("SELECT FROM batches WHERE company_id = $1 AND batch_key = 'h'", [
      company.id,
    ]);
    expect([rows, await chunks()]).toEqual([[], before]);
  });

  test('is refused before it is read where it is CSV without an operation', async () => {
    const answer = await api.send('name\nA\n', { key: 'csv-of-none', type: 'text/csv' });
    expect([answer.status, answer.json.errors]).toMatchObject([422, [{ in: 'query', pointer: '/operation' }]]);
  });

  const zip = Buffer.from('504b0304140000000800', 'hex');
  const FILES: readonly (readonly [string, string | Buffer, string])[] = [
    ['is empty', '', NDJSON],
    ['has blank lines alone', '\n\n \r\n\n', NDJSON],
    ['is UTF-16', Buffer.from(`\uFEFF${'{"body":{"name":"A"}}\n'}`, 'utf16le'), NDJSON],
    ['is compressed without saying so', gzipSync('{"body":{"name":"A"}}\n'.repeat(100_000)), NDJSON],
    ['is a ZIP archive', Buffer.concat([zip, Buffer.alloc(1_000, 7)]), NDJSON],
    ['is CSV that is a ZIP archive', Buffer.concat([zip, Buffer.alloc(1_000, 7)]), 'text/csv'],
    ['is empty CSV', '', 'text/csv'],
    ['is CSV with no row', 'name\n', 'text/csv'],
    [
      'is CSV with ten thousand columns',
      `${Array.from({ length: 10_000 }, (_, at) => `c${at}`).join(',')}\n`,
      'text/csv',
    ],
    ['is CSV with a header that does not end', `"${'name'.repeat(MIB)}`, 'text/csv'],
    ['is CSV with a column for the prototype', '__proto__.name\nA\n', 'text/csv'],
    ['is CSV with a member that there is not', 'name,nickname\nA,B\n', 'text/csv'],
  ];
  test.each(FILES)('is refused where it %s', async (name, file, type) => {
    const before = await chunks();
    const key = name.replaceAll(' ', '-');
    const answer = await api.send(file, { key, operation: CUSTOMERS, type });
    expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
    expect(answer.text.length).toBeLessThan(4_000);
    await expectNothingLeft(before, key);
  });

  test('is refused at the first row beyond the limit, and not read on', async () => {
    const small = await limited({ rows: 1_200 });
    const before = await chunks();
    const enough = 1_000_000;
    const piece = good().repeat(100);
    let made = 0;
    function* longFile() {
      for (made = 0; made < enough; made += 100) yield piece;
    }
    const send = () => {
      const file = Readable.toWeb(Readable.from(longFile(), { objectMode: false, highWaterMark: 65_536 }));
      return small.api.send(file as ReadableStream<Uint8Array>, { key: 'too-many', operation: CUSTOMERS });
    };
    // The connection is closed in the end: who is still sending may find that before the answer, and sends it again.
    let answer = await send().catch(() => undefined);
    for (let again = 0; answer === undefined && again < 20; again += 1) answer = await send().catch(() => undefined);
    if (answer === undefined) throw new Error('No answer was heard');
    expect([answer.status, answer.json.code]).toEqual([413, 'body_too_large']);
    expect(answer.json.detail).toContain('1,200 rows');
    expect(made).toBeLessThan(enough);
    await expectNothingLeft(before, 'too-many');
    const checked = await small.api.send(good().repeat(1_201), { validateOnly: true, operation: CUSTOMERS });
    expect([checked.status, checked.json.code]).toEqual([413, 'body_too_large']);
  });

  test('is refused by the length that it says it has', async () => {
    const { socket, received } = open(system.url);
    socket.write(head(company, 'too-long', `Content-Length: ${1024 ** 3 + 1}`));
    await expect.poll(received, { timeout: 60_000 }).toContain('"code":"body_too_large"');
    expect(received()).toMatch(/^HTTP\/1\.1 413 /);
    const { rows } = await system.owner.query("SELECT FROM batches WHERE company_id = $1 AND batch_key = 'too-long'", [
      company.id,
    ]);
    expect(rows).toEqual([]);
  });

  test('is refused where it goes on beyond the limit without having said so', async () => {
    const small = await limited({ bytes: MIB });
    const before = await chunks();
    const { socket, received } = open(small.url);
    socket.write(head(company, 'goes-on', 'Transfer-Encoding: chunked'));
    const line = good().repeat(1_000);
    for (let sent = 0; sent <= MIB; sent += line.length) socket.write(`${line.length.toString(16)}\r\n${line}\r\n`);
    await expect.poll(received, { timeout: 60_000 }).toContain('"code":"body_too_large"');
    expect(received()).toMatch(/^HTTP\/1\.1 413 /);
    await expectNothingLeft(before, 'goes-on');
  });

  test('is refused where it is silent', async () => {
    const hasty = await limited({ silentMs: 300 });
    const before = await chunks();
    const { socket, received } = open(hasty.url);
    socket.write(head(company, 'silent', 'Transfer-Encoding: chunked'));
    const rows = good().repeat(600);
    socket.write(`${rows.length.toString(16)}\r\n${rows}\r\n`);
    await expect.poll(received, { timeout: 60_000 }).toContain('"code":"request_timeout"');
    expect(received()).toMatch(/^HTTP\/1\.1 408 /);
    await expectNothingLeft(before, 'silent');
  });

  test('is refused where it trickles for too long, and its connection is closed though it goes on', async () => {
    const hasty = await limited({ lastMs: 400 });
    const before = await chunks();
    const { socket, received, closed } = open(hasty.url);
    socket.write(head(company, 'trickle', 'Transfer-Encoding: chunked'));
    const row = good();
    const drip = setInterval(() => socket.write(`${row.length.toString(16)}\r\n${row}\r\n`), 20);
    onTestFinished(() => clearInterval(drip));
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 408 /);
    await expectNothingLeft(before, 'trickle');
  });

  test('leaves nothing where its connection breaks', async () => {
    const before = await chunks();
    const { socket } = open(system.url);
    socket.write(head(company, 'broken', 'Content-Length: 10000000'));
    socket.write(good().repeat(2_000));
    await expect.poll(chunks, { timeout: 60_000 }).toBeGreaterThan(before);
    socket.destroy();
    await expectNothingLeft(before, 'broken');
  });

  /** What has become of a file, row by row. */
  async function outcomes(file: string | Buffer | ReadableStream<Uint8Array>, sending: Sending) {
    const key = sending.key ?? randomUUID();
    const sent = await api.send(file, { operation: CUSTOMERS, ...sending, key });
    expect(sent.status).toBe(202);
    const { json } = await api.over(key);
    expect(json.state).toBe('completed');
    return { batch: json, rows: await api.results(key) };
  }

  test('is a batch all the same where each of its rows is malformed', async () => {
    const { rows } = await outcomes(
      '{"body":\nnot json\n[1]\n"text"\nnull\n{"body":{"name":"A"}} trailing\n\xff\n',
      {},
    );
    expect(rows.map(({ outcome, status }) => `${outcome} ${status}`)).toEqual(Array(7).fill('refused 422'));
    expect(rows.map(({ problem }) => problem.code)).toEqual(Array(7).fill('validation_failed'));
  });

  test('has its bad rows told and the others made, whatever is in them', async () => {
    const name = 'Made';
    const { rows } = await outcomes(
      Buffer.concat([
        Buffer.from(ndjson([{ body: { name } }])),
        Buffer.from('{"body":{"name":"A\0B"}}\n'),
        Buffer.from('{"body":{"name":"A\\u0000B"}}\n'),
        Buffer.from('{"body":{"\\u0000":1,"\\ud800":2,"name":"A"}}\n'),
        Buffer.from('{"key":"\\u0000","body":{"name":"A"}}\n'),
        Buffer.from('{"operation":"\\u0000","body":{"name":"A"}}\n'),
        Buffer.from('{"body":{"name":"A","__proto__":{"currency":"USD"}}}\n'),
        Buffer.from('{"__proto__":{"body":{"name":"A"}}}\n'),
        Buffer.from('{"operation":"__proto__","body":{"name":"A"}}\n'),
        Buffer.from([0x7b, 0xff, 0xfe, 0x7d, 0x0a]),
        Buffer.from(`{"body":${'['.repeat(100_000)}${']'.repeat(100_000)}}\n`),
        Buffer.from(ndjson([{ body: { name } }])),
      ]),
      {},
    );
    expect(rows.map(({ outcome }) => outcome)).toEqual(['succeeded', ...Array(10).fill('refused'), 'succeeded']);
    expect(rows.map(({ resource }) => resource?.name)).toEqual([name, ...Array(10).fill(undefined), name]);
  });

  test('has numbers that JSON can spell and no amount can be refused, as alone', async () => {
    const alone = async (body: string) => {
      const headers = { authorization: `Bearer ${company.users.owner.token}`, 'content-type': 'application/json' };
      const init = { method: 'PATCH', headers: { ...headers, 'idempotency-key': randomUUID() }, body };
      const answer = await fetch(`${system.url}/api/company/settings`, init);
      return [answer.status, ((await answer.json()) as { errors?: object[] }).errors];
    };
    const closed = { expectedVersion: 1, booksClosedThrough: '2020-01-31', reconcileTolerance: 5 };
    expect(await alone(JSON.stringify(closed))).toEqual([200, undefined]);
    const bodies = [
      '{"expectedVersion":2,"booksClosedThrough":1e400,"reopenReason":"x"}',
      '{"expectedVersion":2,"reconcileTolerance":-1e400}',
      '{"expectedVersion":2,"reconcileTolerance":-0}',
    ];
    const key = randomUUID();
    await api.send(bodies.join('\n'), { key, operation: 'updateCompanySettings' });
    await api.over(key);
    const told = (await api.results(key)).map(({ outcome, status, problem }) => [outcome, status, problem?.errors]);
    expect(told).toEqual(await Promise.all(bodies.map(async (body) => ['refused', ...(await alone(body))])));
    expect(told.map(([, status]) => status)).toEqual([422, 422, 422]);
  });

  test('has rows of every size up to that of a request made, and larger ones told', async () => {
    const padded = (bytes: number) => {
      const body = { name: 'Padded', unknown: '' };
      return `${JSON.stringify({ body: { ...body, unknown: 'x'.repeat(bytes - JSON.stringify(body).length) } })}\n`;
    };
    const { rows } = await outcomes(`${padded(MIB)}${padded(MIB + 1)}${padded(3 * MIB)}${good()}`, {});
    expect(rows.map(({ outcome }) => outcome)).toEqual(['refused', 'refused', 'refused', 'succeeded']);
    const [whole, larger, longest] = rows.map(({ problem }) => problem?.errors);
    expect(whole).toMatchObject([{ pointer: '/unknown' }]);
    expect(larger).toMatchObject([{ pointer: '', message: expect.stringContaining('1 MiB') }]);
    expect(longest).toMatchObject([{ pointer: '', message: expect.stringContaining('longer than') }]);
  });

  test('has a line of a hundred megabytes told, and the next one made', async () => {
    const piece = Buffer.alloc(MIB, 'x');
    const file = Readable.from(
      (function* () {
        yield Buffer.from('{"body":{"name":"');
        for (let sent = 0; sent < 100; sent += 1) yield piece;
        yield Buffer.from(`"}}\n${good()}`);
      })(),
      { objectMode: false },
    );
    const { rows } = await outcomes(Readable.toWeb(file) as ReadableStream<Uint8Array>, {});
    expect(rows.map(({ outcome }) => outcome)).toEqual(['refused', 'succeeded']);
  });

  test('has no cell in its results that a spreadsheet would calculate', async () => {
    const keys = ['=1+1', '+1', '-1', '@SUM(A1)', "=cmd|'/C calc'!A0", '"=1"'];
    const bodies = ['=1', '\t=1', '\r=1'].map((name) => ({ [name]: 1 }));
    const run = randomUUID().slice(0, 4);
    const file = ndjson([
      ...keys.map((key) => ({ key: `${key}${run}`, body: { name: '=HYPERLINK("http://example.test")' } })),
      ...bodies.map((body, at) => ({ key: `-${at}${run}`, body })),
      { operation: '=cmd()', body: { name: 'A' } },
    ]);
    const key = `formulas-${run}`;
    await api.send(file, { key, operation: CUSTOMERS });
    await api.over(key);
    const { text } = await api.call(`/api/batches/${key}/results`, { headers: { accept: 'text/csv' } });
    const cells = [...text.matchAll(/(?<=^|,|\n)(?:"((?:[^"]|"")*)"|([^",\r\n]*))/g)].map(([, a, b]) => a ?? b ?? '');
    expect(cells).toContain(`'=1+1${run}`);
    expect(cells.filter((cell) => /^[=+\-@\t\r\n]/.test(cell))).toEqual([]);
  });
});

/** A client that sends what it likes, and what has come back. */
function open(url: string) {
  const { hostname, port } = new URL(url);
  const socket: Socket = connect({ port: Number(port), host: hostname });
  onTestFinished(() => void socket.destroy());
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()));
  return { socket, received: () => Buffer.concat(pieces).toString(), closed };
}

function head(company: Company, key: string, length: string): string {
  return [
    `POST /api/batches?operation=${CUSTOMERS} HTTP/1.1`,
    'Host: test',
    `Authorization: Bearer ${company.users.owner.token}`,
    `Idempotency-Key: ${key}`,
    'Content-Type: application/x-ndjson',
    length,
    '\r\n',
  ].join('\r\n');
}
