import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type Figures, readFigures } from '../../deploy/reports/figures.ts';
import { reportMarkdown } from '../../deploy/reports/markdown.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { sqlOfPage } from '../support/page-sql.ts';
import { type System, startSystem } from '../support/system.ts';

const LAST_SEVEN_DAYS = { from: null, to: null };

let system: System;
let company: Company;
let figures: Figures;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  const other = await system.company();
  const body = paymentBody(await company.invoice());
  const pay = (sent: unknown, key: string) =>
    company.api.post('/api/payments', sent, { key, headers: { prefer: 'wait=60' } });
  await pay(body, 'paid');
  await pay(body, 'paid');
  await pay(body, 'paid');
  await pay({ ...body, amount: 99 }, 'paid');
  await pay({ ...body, amount: 10_000_000 }, 'too-much');
  await pay({ ...body, amount: 10_000_000 }, 'too-much');
  await other.customer();
  await company.api.send('POST', '/api/writes/never/cancel');
  const batches = batchClient(system, other);
  const worker = await startBatchWorker(system);
  await batches.send(ndjson([{ body: {} }]), { key: 'a|file', operation: 'createCustomer' });
  await batches.over('a|file');
  await worker.close();
  for (const key of ['cancelled', 'stuck', 'waiting', 'old']) {
    await batches.send(ndjson([{ body: { name: 'Never' } }]), { key, operation: 'createCustomer' });
  }
  await batches.control('cancelled', 'cancel');
  await system.owner.query(`UPDATE batches SET queued_at = now() - interval '8 days' WHERE batch_key = 'old'`);
  await batches.control('old', 'cancel');
  await system.owner.query(`UPDATE batches SET progress_at = now() - interval '6 minutes' WHERE state = 'queued'`);
  // Of eight days ago, and so not of this week.
  await system.owner.query(
    `INSERT INTO idempotent_write_audit_log (timestamp, company_id, operation_name, operation_type, idempotency_key, user_id,
       status, request_id, route_path, http_method)
     VALUES (now() - interval '8 days', $1, 'createPayment', 'financial', 'old', $2, 'replayed', 'r', '/', 'POST')`,
    [company.id, company.users.owner.id],
  );
  figures = await readFigures(ownerUrlOf(system.owner), LAST_SEVEN_DAYS);
});
afterAll(() => system.stop());

describe('the weekly report', () => {
  test('counts what was new, replayed and failed, by operation and type', () => {
    const payments = figures.byOperation.find(({ operation }) => operation === 'createPayment');
    expect(payments).toMatchObject({
      total: 6,
      new: 1,
      replayed: 3,
      failed: 2,
      mismatches: 1,
      replayPct: 50,
      type: 'financial',
    });
    expect(payments?.averageMs).toBeGreaterThan(0);
    expect(payments?.p95Ms).toBeGreaterThan(0);
    expect(payments?.replayP95Ms).toBeGreaterThan(0);
    // Two customers, an invoice and its finalizing beside the payment; and the cancelled key, of which no operation is known.
    expect(figures.all).toMatchObject({ total: 11, new: 5, replayed: 3, failed: 3, mismatches: 1, replayPct: 27.27 });
    expect(figures.companies).toBe(2);
    expect(figures.byType.map(({ type, total }) => [type, total])).toEqual([
      ['financial', 8],
      ['high-risk', 2],
      ['unknown', 1],
    ]);
    for (const [part, name] of [
      ['byType', 'type'],
      ['byOperation', 'operation'],
    ] as const) {
      const sum = (figures[part] as readonly { total: number }[]).reduce((total, row) => total + row.total, 0);
      expect([name, sum]).toEqual([name, figures.all.total]);
    }
  });

  test('tells why writes failed, and which were slow', () => {
    expect(figures.failures.map(({ operation, errorCode, count }) => [operation, errorCode, count])).toEqual([
      ['createPayment', 'idempotency_key_reused', 1],
      ['createPayment', 'payment_exceeds_outstanding', 1],
      ['unknown', 'write_cancelled', 1],
    ]);
    expect(figures.slowest).toHaveLength(5);
    const times = figures.slowest.map(({ durationMs }) => durationMs);
    expect(times).toEqual(times.toSorted((a, b) => b - a));
    expect(figures.slowest.map(({ key }) => key)).toContain('paid');
  });

  test('tells of batches: how many, what has become of their rows, which are stuck, and which took longest', () => {
    expect(figures.batches).toMatchObject({
      total: 4,
      completed: 1,
      cancelled: 1,
      unfinished: 2,
      stuck: 1,
      rows: 4,
      byOutcome: { refused: 1, cancelled: 1, pending: 2, succeeded: 0, failed: 0 },
      rowsPerSecond: expect.any(Number),
      longest: [{ key: 'a|file', operation: 'createCustomer', state: 'completed', rows: 1 }],
    });
    const page = reportMarkdown(figures);
    expect(page).toMatch(
      /\*\*4 batches of 4 rows: 1 completed, 1 cancelled, 2 not over, of which 1 stuck; [\d.]+ rows\/s\.\*\*/,
    );
    expect(page).toMatch(/\| a\\\|file \| createCustomer \| completed \| 1 \|/);
  });

  test('has the same share of replays as the query of the page', async () => {
    const [block] = sqlOfPage('docs/operating.md', /replay_pct/);
    const session = await system.owner.connect();
    try {
      // The block begins and ends its transaction: one result for each of its statements.
      const results = [await session.query(block?.sql ?? '')].flat();
      const rows: { operation_name: string; replay_pct: string }[] =
        results.find(({ command }) => command === 'SELECT')?.rows ?? [];
      expect(rows.length).toBeGreaterThan(3);
      expect(Object.fromEntries(rows.map((row) => [row.operation_name, Number(row.replay_pct)]))).toEqual(
        Object.fromEntries(figures.byOperation.map((row) => [row.operation, row.replayPct])),
      );
    } finally {
      session.release();
    }
  });

  test('is a page with every figure, and keys cannot spoil it', () => {
    const page = reportMarkdown({
      ...figures,
      slowest: figures.slowest.map((row) => ({ ...row, key: 'a|b <script>' })),
    });
    expect(page).toContain('11 answers: 5 new, 3 replayed (27.27 %), 3 failed, of which 1 mismatches');
    expect(page).toMatch(/\| createPayment \| financial \| 6 \| 1 \| 3 \| 2 \| 1 \| 50\.00 \|/);
    expect(page).toContain('a\\|b \\<script\\>');
  });

  test('of a time without writes is empty, and no error', async () => {
    const empty = await readFigures(ownerUrlOf(system.owner), { from: '2020-01-01', to: '2020-01-08' });
    expect(empty).toMatchObject({
      from: '2020-01-01T00:00:00.000Z',
      all: { total: 0, replayPct: 0, averageMs: null },
      byOperation: [],
      batches: { total: 0, rows: 0, rowsPerSecond: null, longest: [] },
    });
    expect(reportMarkdown(empty)).toContain('None.');
  });

  test('is read as the auditor: a login that may not be one gets nothing', async () => {
    const relay = new URL(inject('relayUrl'));
    relay.pathname = new URL(ownerUrlOf(system.owner)).pathname;
    await expect(readFigures(relay.href, LAST_SEVEN_DAYS)).rejects.toThrow('permission denied');
    const application = readFigures(system.environment['DATABASE_URL'] ?? '', LAST_SEVEN_DAYS);
    await expect(application).rejects.toThrow('permission denied');
    const login = await readFigures(system.environment['AUDITOR_DATABASE_URL'] ?? '', LAST_SEVEN_DAYS);
    expect(login.all.total).toBe(figures.all.total);
  });
});

test('npm run reports:weekly:staging writes Markdown or JSON, and refuses dates that are none', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'accubooks-report-'));
  const environment = { DATABASE_URL: ownerUrlOf(system.owner) };
  const report = (...args: string[]) => runCommand('deploy/reports/weekly.ts', args, environment);
  try {
    const [written, json, bad] = await Promise.all([
      report('--out', join(folder, 'week.md')),
      report('--json', '--from', '2020-01-01', '--to', '2020-01-07'),
      report('--from', '2026-02-30'),
    ]);
    expect(written).toMatchObject({ code: 0, stdout: '' });
    expect(readFileSync(join(folder, 'week.md'), 'utf8')).toMatch(/^# Weekly report on writes\n[\s\S]*11 answers/);
    expect(JSON.parse(json.stdout)).toMatchObject({ from: '2020-01-01T00:00:00.000Z', to: '2020-01-08T00:00:00.000Z' });
    expect(bad).toMatchObject({ code: 1, stderr: expect.stringContaining('YYYY-MM-DD') });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
