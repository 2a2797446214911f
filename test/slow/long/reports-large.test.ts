import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fill } from '../../../deploy/load/benchmark/growth/fill.ts';
import { createApiClient } from '../../support/client.ts';
import { paymentBody } from '../../support/effects.ts';
import { type SystemProcess, startApiProcess } from '../../support/processes.ts';
import { type System, startSystem } from '../../support/system.ts';
import { signToken } from '../../support/tokens.ts';

/** Each has two lines; the customer's ten invoices have twenty more. */
const PAYMENTS = 500_000;
const LINES = 2 * PAYMENTS + 20;
const AMOUNT = 7;
const PAID = AMOUNT * PAYMENTS;
const INVOICED = 10_000_000;
const INVOICES = 10;
const NEWLINE = 10;
const MIB = 1024 * 1024;
const MORE_AT_MOST_BYTES = 200 * MIB;
const LIMIT_MS = 30 * 60_000;

let system: System;
let api: SystemProcess;
let token: string;
beforeAll(async () => {
  system = await startSystem();
  const original = await system.company();
  const invoiceId = await original.invoice({ total: INVOICED });
  await original.api.created('/api/payments', paymentBody(invoiceId, AMOUNT));
  await fill({
    companies: 1,
    keys: PAYMENTS,
    databaseUrl: system.owner.options.connectionString ?? '',
    originalId: original.id,
    signal: new AbortController().signal,
    log: () => undefined,
  });
  const { rows } = await system.owner.query('SELECT company_id, user_id FROM growth.companies');
  token = await signToken({ userId: rows[0].user_id, companyId: rows[0].company_id });
  api = await startApiProcess(system.environment);
}, LIMIT_MS);
afterAll(async () => {
  await api?.terminate();
  await system?.stop();
});

type Report = Readonly<Record<'items' | 'totals', readonly Readonly<Record<string, unknown>>[]>>;

const DUE = INVOICES * INVOICED - PAID;
/** Each with what it tells of these books. */
const REPORTS: readonly (readonly [string, (report: Report) => unknown, unknown])[] = [
  [
    '/api/ledger/trial-balance',
    ({ items }) => items.map(({ accountCode, debit, credit }) => [accountCode, debit, credit]),
    [
      ['1000', PAID, 0],
      ['1100', DUE, 0],
      ['4000', 0, PAID + DUE],
    ],
  ],
  [
    '/api/reports/profit-and-loss',
    ({ totals }) => totals,
    [{ currency: 'USD', income: PAID + DUE, expense: 0, result: PAID + DUE }],
  ],
  [
    '/api/reports/balance-sheet',
    ({ totals }) => totals,
    [{ currency: 'USD', assets: PAID + DUE, liabilities: 0, equity: 0, result: PAID + DUE }],
  ],
  ['/api/reports/sales-tax', ({ totals }) => totals, [{ currency: 'USD', tax: 0, ledger: 0, otherPostings: 0 }]],
  [
    '/api/reports/tie-out',
    ({ items }) => items.map(({ accountCode, ledger, difference }) => [accountCode, ledger, difference]),
    [
      ['1100', DUE, 0],
      ['2100', 0, 0],
    ],
  ],
  [
    '/api/reports/bank-reconciliation',
    ({ items }) =>
      items.map(({ outstandingCount, booksBalance, difference }) => [outstandingCount, booksBalance, difference]),
    [[PAYMENTS, PAID, 0]],
  ],
  [
    '/api/reports/aged-receivables',
    ({ items }) =>
      items.map(({ notDue, days1to30, days31to60, days61to90, over90 }) =>
        [notDue, days1to30, days31to60, days61to90, over90].reduce((sum: number, due) => sum + Number(due), 0),
      ),
    [DUE],
  ],
];

test(`a company of ${LINES} lines has all its reports, and they take no memory of the API`, {
  timeout: LIMIT_MS,
}, async () => {
  const client = createApiClient(api.url, token);
  await client.get('/api/ledger/accounts');
  const before = peakBytes();
  for (const [path, told, expected] of REPORTS) {
    const sinceMs = performance.now();
    const { status, json } = await client.get(path);
    console.log(`${path}: ${Math.round(performance.now() - sinceMs)} ms`);
    expect
      .soft({ path, status, told: status === 200 ? told(json) : json })
      .toEqual({ path, status: 200, told: expected });
  }
  const sinceMs = performance.now();
  expect(await exportedLines('text/csv')).toBe(LINES + 1);
  console.log(`General ledger: ${Math.round(performance.now() - sinceMs)} ms`);
  console.log(`The API has taken ${Math.round((peakBytes() - before) / MIB)} MiB more`);
  expect(peakBytes() - before).toBeLessThan(MORE_AT_MOST_BYTES);
});

async function exportedLines(accept: string): Promise<number> {
  const url = `${api.url}/api/reports/general-ledger`;
  const { body } = await fetch(url, { headers: { authorization: `Bearer ${token}`, accept } });
  let lines = 0;
  for await (const chunk of body ?? []) for (const byte of chunk) lines += byte === NEWLINE ? 1 : 0;
  return lines;
}

function peakBytes(): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${api.pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1_024;
}
