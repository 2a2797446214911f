import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Answer, Http } from '../../deploy/client/src/http.ts';
import { putBetweenMarkers } from '../../deploy/load/benchmark/markers.ts';
import type { Segment } from '../../deploy/load/benchmark/segment.ts';
import type { RowsOfKey } from '../../deploy/load/peers/contenders/contender.ts';
import { keepAnswers } from '../../deploy/load/peers/measure/answers.ts';
import { payThroughKills } from '../../deploy/load/peers/measure/kills.ts';
import type { Check, Measurements } from '../../deploy/load/peers/measure/measure.ts';
import { describeMismatch } from '../../deploy/load/peers/measure/mismatch.ts';
import { contradictionsIn, judge, sumOf } from '../../deploy/load/peers/measure/verdict.ts';
import { figuresTable, isContradicted, outcomesTable, remarks } from '../../deploy/load/peers/report.ts';
import { type ContenderResult, orderOf } from '../../deploy/load/peers/rounds.ts';

const RIGHT: RowsOfKey = { key: 'k', payments: 1, paymentId: 'p', lines: 2, sumMinor: 0, auditRows: 1 };
const GOOD = { acknowledged: 1, missing: 0, twice: 0, answeredDifferently: 0, incomplete: 0 };

test.each([
  { what: 'one payment as answered', ids: ['p'], row: {}, strays: 0, verdict: GOOD },
  {
    what: 'no payment behind an answer',
    ids: ['p'],
    row: { payments: 0, paymentId: null, lines: 0, auditRows: 0 },
    strays: 0,
    verdict: { ...GOOD, missing: 1 },
  },
  { what: 'two payments', ids: ['p'], row: { payments: 2, lines: 4 }, strays: 0, verdict: { ...GOOD, twice: 1 } },
  {
    what: 'two payments of a key that was never answered',
    ids: [],
    row: { payments: 2, lines: 4 },
    strays: 0,
    verdict: { ...GOOD, acknowledged: 0, twice: 1 },
  },
  { what: 'a payment without a key', ids: ['p'], row: {}, strays: 1, verdict: { ...GOOD, twice: 1 } },
  { what: 'two answers', ids: ['p', 'q'], row: {}, strays: 0, verdict: { ...GOOD, answeredDifferently: 1 } },
  { what: 'another answer', ids: ['q'], row: {}, strays: 0, verdict: { ...GOOD, answeredDifferently: 1 } },
  { what: 'one line', ids: ['p'], row: { lines: 1 }, strays: 0, verdict: { ...GOOD, incomplete: 1 } },
  { what: 'an unbalanced payment', ids: ['p'], row: { sumMinor: 1 }, strays: 0, verdict: { ...GOOD, incomplete: 1 } },
  { what: 'no audit row', ids: ['p'], row: { auditRows: 0 }, strays: 0, verdict: { ...GOOD, incomplete: 1 } },
  {
    what: 'neither an answer nor a payment',
    ids: [],
    row: { payments: 0, paymentId: null, lines: 0, auditRows: 0 },
    strays: 0,
    verdict: { ...GOOD, acknowledged: 0 },
  },
])('the rows decide: $what', ({ ids, row, strays, verdict }) => {
  const answers = new Map([['k', new Set(ids)]]);
  expect(judge(answers, { ofKeys: [{ ...RIGHT, ...row }], strays })).toEqual(verdict);
});

test('verdicts add up, and each count but the acknowledged is a contradiction', () => {
  const bad = { acknowledged: 1, missing: 1, twice: 2, answeredDifferently: 3, incomplete: 4 };
  expect(contradictionsIn(sumOf([bad, GOOD]))).toEqual([
    '1 missing',
    '2 made twice',
    '3 answered differently',
    '4 incomplete',
  ]);
  expect(contradictionsIn(GOOD)).toEqual([]);
});

test('each answer to a key is kept, and a key without one is known', async () => {
  const texts = ['{"id":"p"}', '{"id":"q"}'];
  const http = keepAnswers({
    send: async () => {
      const text = texts.shift();
      if (text === undefined) throw new Error('the process was killed');
      return { ...ANSWER, text };
    },
    close: async () => {},
  });
  const request = { method: 'POST', path: '/api/payments', token: 't' } as const;
  await http.send({ ...request, key: 'answered' });
  await http.send({ ...request, key: 'answered' });
  await expect(http.send({ ...request, key: 'unanswered' })).rejects.toThrow('killed');
  expect([...http.answers]).toEqual([
    ['answered', new Set(['p', 'q'])],
    ['unanswered', new Set()],
  ]);
});

const ANSWER: Answer = {
  status: 201,
  replayed: false,
  location: undefined,
  retryAfterMs: undefined,
  requestId: undefined,
  contentType: undefined,
  key: undefined,
  text: 'a',
};

test('a contender whose answers do not repeat the key is answered once for each write, also after kills', async () => {
  let crashes = 0;
  const sent: string[] = [];
  const http: Http = {
    async send({ key = '' }) {
      sent.push(key);
      await new Promise((resolve) => setTimeout(resolve, 5));
      return { ...ANSWER, contentType: 'application/json; charset=utf-8', text: '{"id":"1"}' };
    },
  };
  let keys = 0;
  const rig = {
    newKey: () => {
      keys += 1;
      return String(keys);
    },
    borrowInvoice: async () => ({ id: 'i', giveBack: () => undefined }),
  };
  const contender = {
    token: 't',
    crash: async () => {
      crashes += 1;
    },
  };
  const options = { betweenKillsMs: 20, signal: new AbortController().signal, log: () => undefined };
  const kills = await payThroughKills(contender as never, { http, rig: rig as never }, options);
  expect(kills).toMatchObject({ kills: 3, unanswered: 0 });
  // Once each, and those that are sent again at the end.
  expect([crashes, sent.length - new Set(sent).size <= 500]).toEqual([3, true]);
});

test('the answer to another body is told apart', () => {
  const problem = '{"code":"idempotency_key_reused"}';
  expect(describeMismatch(ANSWER, { ...ANSWER, status: 422, text: problem })).toBe('422 idempotency_key_reused');
  expect(describeMismatch(ANSWER, ANSWER)).toBe('201, the first request’s answer');
  expect(describeMismatch(ANSWER, { ...ANSWER, text: 'b' })).toBe('201, a second payment');
  expect(describeMismatch(ANSWER, undefined)).toBe('no answer');
});

test('each round starts at another contender', () => {
  expect([0, 1, 2, 3].map((round) => orderOf(round, 3))).toEqual([
    [0, 1, 2],
    [1, 2, 0],
    [2, 0, 1],
    [0, 1, 2],
  ]);
});

test('the figures are medians of the rounds, and ours is divided by each', () => {
  const results = [
    result('sql', [fresh(100), fresh(400), fresh(200)]),
    result('ours', [fresh(100), fresh(100), fresh(900)]),
    result('dbos', []),
  ];
  const { rows } = figuresTable(results, [8]);
  expect(rows.map(([name, speed, ratio]) => ({ name, speed, ratio }))).toEqual([
    { name: 'sql', speed: '200, 20.0', ratio: '0.50' },
    { name: 'ours', speed: '100, 20.0', ratio: '1.00' },
    { name: 'dbos', speed: '–', ratio: '–' },
  ]);
  expect(rows[0]?.at(-1)).toBe('6.0 (1.0 + 2.0 + 3.0)');
});

test('the table of outcomes shows what came of kills, and a contradiction is no secret', () => {
  const lost = { ...CHECK, verdict: { ...GOOD, acknowledged: 1_234, missing: 1 } };
  const round = { ...fresh(1), kills: { ...lost, kills: 3, unanswered: 2, slowestMs: 1 } };
  const [row] = outcomesTable([result('sql', [round])]).rows;
  expect(row).toContain('1,234, 1, 0, 0');
  expect(row).toContain('agrees with all 1 keys');
  expect(remarks(result('sql', [round]))).toEqual(['sql: 1 missing', 'sql: 2 keys without an answer after a kill']);
  expect(isContradicted(result('sql', [round]))).toBe(true);
  expect(isContradicted(result('sql', [fresh(1)]))).toBe(false);
});

const CHECK: Check = { verdict: GOOD, violations: [], errors: {} };

function fresh(perSecond: number): Measurements {
  const cpuMs = { app: 1, engine: 2, postgres: 3, generator: 4 };
  const segment: Segment = { count: 1, p50Ms: 10, p95Ms: 20, p99Ms: 30, maxMs: 40, perSecond, cpuMs };
  return { loads: [{ mode: 'new', concurrency: 8, segment, ...CHECK }] };
}

function result(name: string, rounds: Measurements[]): ContenderResult {
  return { name, title: name, promises: '', auditAndCompanies: '', version: '1', rounds };
}

test('figures are written between their markers, and nothing else of the page changes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'accubooks-markers-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const page = join(folder, 'page.md');
  writeFileSync(page, '# A\n\n<!-- peers: begin -->\nold\n<!-- peers: end -->\n\nB\n');
  putBetweenMarkers(page, 'peers', 'new\n');
  expect(readFileSync(page, 'utf8')).toBe('# A\n\n<!-- peers: begin -->\n\nnew\n\n<!-- peers: end -->\n\nB\n');
  expect(() => putBetweenMarkers(page, 'figures', 'new')).toThrow('<!-- figures: begin -->');
});

test('the packages of the benchmark come from the public registry, in exact versions', () => {
  const read = (name: string) => JSON.parse(readFileSync(`deploy/load/peers/${name}`, 'utf8'));
  const packages = Object.values<{ resolved?: string }>(read('package-lock.json').packages);
  expect(packages.length).toBeGreaterThan(10);
  const elsewhere = packages.filter(({ resolved }) => !(resolved ?? PUBLIC).startsWith(PUBLIC));
  expect(elsewhere).toEqual([]);
  const versions = Object.values<string>(read('package.json').dependencies);
  expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  // The same driver for plain SQL and for ours.
  const ours = JSON.parse(readFileSync('package.json', 'utf8')).dependencies;
  expect(read('package.json').dependencies.pg).toBe(ours.pg);
});

const PUBLIC = 'https://registry.npmjs.org/';
