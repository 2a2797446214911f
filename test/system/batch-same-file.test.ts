import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type BatchAnswer, batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import { startCommitProxy } from '../support/commit-proxy.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let worker: Awaited<ReturnType<typeof startBatchWorker>>;
let company: Company;
let api: ReturnType<typeof batchClient>;
beforeAll(async () => {
  system = await startSystem();
  worker = await startBatchWorker(system);
});
beforeEach(async () => {
  company = await system.company();
  api = batchClient(system, company);
});
afterAll(async () => {
  await worker.close();
  await system.stop();
});

const customers = (count: number, name = 'Customer', key?: string) =>
  Array.from({ length: count }, (_, index) => ({
    ...(key === undefined ? {} : { key: `${key}-${index + 1}` }),
    body: { name: `${name} ${index + 1}`, currency: 'USD' },
  }));
const made = async () => (await countEffects(system.owner, { companyId: company.id, table: 'customers' })).rows;
const sent = (key: string) => ({ key, operation: 'createCustomer' });
const told = ({ status, replayed, json }: BatchAnswer) => [status, replayed, json.code ?? json.key];

/** An upload that goes on, ends or breaks off when a test says so. */
function slowly(key: string, url = system.url) {
  let body: ReadableStreamDefaultController<Uint8Array> | undefined;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      body = controller;
    },
  });
  const answer = batchClient({ url }, company).send(stream, sent(key));
  answer.catch(() => undefined);
  return {
    answer,
    write: (text: string) => body?.enqueue(Buffer.from(text)),
    end: () => body?.close(),
    breakOff: () => body?.error(new Error('The client is gone')),
    begun: () => until('the upload to begin', async () => (await api.status(key)).status === 200),
  };
}

describe('the same file', () => {
  test('under the same key by two operators at once is one batch', async () => {
    const file = ndjson(customers(700));
    const colleague = batchClient(system, company, company.users.admin.token);
    const answers = await Promise.all([api.send(file, sent('both')), colleague.send(file, sent('both'))]);
    expect(answers.map(({ status }) => status)).toEqual([202, 202]);
    expect(new Set(answers.map(({ replayed }) => replayed))).toEqual(new Set([false, true]));
    expect(answers[0].json.id).toBe(answers[1].json.id);
    expect((await api.over('both')).json.counts).toMatchObject({ succeeded: 700, replayed: 0, failed: 0 });
    expect(await made()).toBe(700);
    const { rows } = await system.owner.query(
      'SELECT count(DISTINCT upload_id)::int AS uploads FROM batch_chunks WHERE company_id = $1',
      [company.id],
    );
    expect(rows).toEqual([{ uploads: 1 }]);
  });

  test('under two batch keys at once is written once', async () => {
    const file = ndjson(customers(600));
    await Promise.all([api.send(file, sent('one')), api.send(file, sent('two'))]);
    const counts = [(await api.over('one')).json.counts, (await api.over('two')).json.counts];
    expect(counts.map(({ succeeded, replayed }) => succeeded + replayed)).toEqual([600, 600]);
    expect(new Set(counts.map(({ succeeded }) => succeeded))).toEqual(new Set([0, 600]));
    expect(await countEffects(system.owner, { companyId: company.id, table: 'customers' })).toMatchObject({
      ...{ writes: 600, rows: 600, newAudit: 600, replayedAudit: 600, failedAudit: 0, events: 600 },
    });
  });

  test('that ends while another upload of it goes on is the batch; the other is told so, and leaves nothing', async () => {
    const [first = '', second = ''] = customers(2).map((row) => ndjson([row]));
    const slow = slowly('overtaken');
    slow.write(first);
    await slow.begun();
    expect((await api.status('overtaken')).json).toMatchObject({ state: 'receiving', rows: null });
    expect(told(await api.send(first + second, sent('overtaken')))).toEqual([202, false, 'overtaken']);
    slow.write(second);
    slow.end();
    expect(told(await slow.answer)).toEqual([202, true, 'overtaken']);
    expect((await api.over('overtaken')).json.counts).toMatchObject({ succeeded: 2 });
    expect(await made()).toBe(2);
  });

  test('that was broken off and is sent again is stored once', async () => {
    const rows = customers(600).map((row) => ndjson([row]));
    const broken = slowly('broken');
    broken.write(rows.slice(0, 550).join(''));
    await broken.begun();
    const stored = async () =>
      (await system.owner.query('SELECT count(*)::int AS n FROM batch_chunks WHERE company_id = $1', [company.id]))
        .rows[0].n;
    await until('a chunk to be stored', async () => (await stored()) === 1);
    expect((await api.status('broken')).json.state).toBe('receiving');
    broken.breakOff();
    await expect(broken.answer).rejects.toThrow('fetch failed');
    await until('the chunk to be dropped', async () => (await stored()) === 0);
    expect((await api.status('broken')).json.state).toBe('receiving');
    expect(told(await api.send(rows.join(''), sent('broken')))).toEqual([202, false, 'broken']);
    expect((await api.over('broken')).json.counts).toMatchObject({ succeeded: 600, pending: 0 });
    expect(await made()).toBe(600);
  });
});

describe('another file under the same key', () => {
  const rows = customers(3);
  const own = customers(3, 'Customer', 'own');
  const spaced = (lines: readonly object[]) =>
    lines.map((row) => `${JSON.stringify(row, null, 1).replaceAll('\n', '')}\n`).join('');
  const cases: readonly [what: string, file: string, first: string, row: number | undefined, operation?: string][] = [
    ['a row differs', ndjson([rows[0] ?? {}, ...customers(3, 'Other').slice(1)]), ndjson(rows), 2],
    ['has a row more', ndjson(customers(4)), ndjson(rows), 4],
    ['has a row less', ndjson(customers(2)), ndjson(rows), 3],
    ['is for another operation', ndjson(rows), ndjson(rows), 1, 'createPayment'],
    ['has other white space, and keys that follow from it', spaced(rows), ndjson(rows), 1],
    [
      'has other white space, and one such key',
      spaced([...own.slice(0, 2), ...rows.slice(2)]),
      ndjson([...own.slice(0, 2), ...rows.slice(2)]),
      3,
    ],
    ['has another key', ndjson([...own.slice(0, 2), { ...own[2], key: 'another' }]), ndjson(own), 3],
    ['has other white space only, with keys of its own', spaced(own), ndjson(own), undefined],
  ];

  test.each(cases)(
    'that %s is told with the first row that differs, or is the same',
    async (_, file, original, row, operation) => {
      await api.send(original, sent('key'));
      const expected = row === undefined ? [202, true, 'key'] : [422, false, 'idempotency_key_reused'];
      for (const state of ['queued', 'completed']) {
        const answer = await api.send(file, { ...sent('key'), ...(operation === undefined ? {} : { operation }) });
        const [first] = answer.status === 202 ? [] : answer.json.errors;
        expect([state, ...told(answer), first?.row]).toEqual([state, ...expected, row]);
        await api.over('key');
      }
      expect(await made()).toBe(3);
    },
  );

  test('that ends after the first one, though it began before, is refused', async () => {
    const slow = slowly('late');
    slow.write(ndjson(customers(1)));
    await slow.begun();
    await api.send(ndjson(customers(2)), sent('late'));
    slow.write(ndjson(customers(2, 'Other').slice(1)));
    slow.end();
    const answer = await slow.answer;
    expect(told(answer)).toEqual([422, false, 'idempotency_key_reused']);
    expect(answer.json.errors[0].row).toBe(2);
    await api.over('late');
    expect(await made()).toBe(2);
  });
});

test('a row whose fault names what no database stores is told, and the others are written', async () => {
  const [row] = customers(1);
  const hostile = ['a\\u0000b', 'a\\ud800b', 'a\\\\u0000b'].map(
    (member) => `{"body":{"name":"Customer","currency":"USD","${member}":1}}\n`,
  );
  await api.send([ndjson([row ?? {}]), ...hostile].join(''), sent('hostile'));
  expect((await api.over('hostile')).json.counts).toMatchObject({ succeeded: 1, refused: 3, pending: 0 });
  const told = (await api.results('hostile')).slice(1).map(({ problem }) => problem.errors[0].pointer);
  expect(told).toEqual(['/a\ufffdb', '/a\ufffdb', '/a\\u0000b']);
});

describe('an upload', () => {
  test('that is cancelled before its end writes nothing, and its key stays cancelled', async () => {
    const file = ndjson(customers(2));
    const slow = slowly('cancelled');
    slow.write(file);
    await slow.begun();
    expect((await api.control('cancelled', 'cancel')).json).toMatchObject({ state: 'cancelled', rows: null });
    slow.end();
    expect(told(await slow.answer)).toEqual([409, false, 'batch_state_conflict']);
    const again = await api.send(file, sent('cancelled'));
    expect(told(again)).toEqual([409, false, 'batch_state_conflict']);
    expect(again.json.detail).toContain('with a new key');
    // Whoever may not read the batch is not told that it was cancelled.
    const manager = batchClient(system, company, company.users.manager.token);
    expect(told(await manager.send(file, sent('cancelled')))).toEqual([422, false, 'idempotency_key_reused']);
    expect(await made()).toBe(0);
    const { rows } = await system.owner.query('SELECT FROM batch_chunks WHERE company_id = $1', [company.id]);
    expect(rows).toEqual([]);
  });

  test('of which a chunk is gone at its end is refused, and nothing of it is taken for stored', async () => {
    const slow = slowly('forgotten');
    slow.write(ndjson(customers(550)));
    await until('a chunk to be stored', async () => {
      // As when others take the process for gone, because it was frozen.
      const { rowCount } = await system.owner.query('DELETE FROM batch_chunks WHERE company_id = $1', [company.id]);
      return rowCount === 1;
    });
    slow.end();
    expect(told(await slow.answer)).toEqual([503, false, 'storage_unavailable']);
    expect((await api.status('forgotten')).json.state).toBe('receiving');
    expect(told(await api.send(ndjson(customers(550)), sent('forgotten')))).toEqual([202, false, 'forgotten']);
    expect((await api.over('forgotten')).json.counts).toMatchObject({ succeeded: 550 });
  });

  test.each([
    ['cut the answer', true],
    ['cut the commit', false],
  ] as const)('whose end is lost (%s) is whole or is sent again', async (what, isStored) => {
    const proxy = await startCommitProxy(system.environment['DATABASE_URL'] ?? '');
    const other = await system.another({ environment: { DATABASE_URL: proxy.url } });
    onTestFinished(async () => {
      await other.close();
      await proxy.close();
    });
    const file = ndjson(customers(20));
    const done = proxy.atNextCommit(what, 'queue_batch');
    const lost = await batchClient({ url: other.url }, company).send(file, sent('lost'));
    await done;
    expect(told(lost)).toEqual([503, false, 'storage_unavailable']);
    const left = await (isStored ? api.over('lost') : api.status('lost'));
    expect(left.json.state).toBe(isStored ? 'completed' : 'receiving');
    expect(told(await api.send(file, sent('lost')))).toEqual([202, isStored, 'lost']);
    const over = await api.over('lost');
    expect(over.json).toMatchObject({ state: 'completed', counts: { succeeded: 20 } });
    expect(over.json.sha256).toBe(createHash('sha256').update(file).digest('hex'));
    expect(await made()).toBe(20);
  });
});
