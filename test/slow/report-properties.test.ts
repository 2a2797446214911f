import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Actor } from '../../deploy/simulate/requests/books.ts';
import { expectAnswer } from '../../deploy/simulate/requests/generate.ts';
import type { ApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { type ExportedLine, exportedCsv, GENERAL_LEDGER, linesOfXml } from '../support/export-lines.ts';
import { inForm, timeLimit } from '../support/form.ts';
import { newBooks, type RandomStep, randomSteps, requestOf } from '../support/random-requests.ts';
import {
  inOrder,
  linesOf,
  movementOf,
  openAtBank,
  type Rows,
  readRows,
  salesTaxOf,
  subledgersOf,
  sumByCurrency,
} from '../support/report-model.ts';
import { type System, startSystem } from '../support/system.ts';
import { walk } from '../support/walk.ts';

const RUNS = { numRuns: inForm({ short: 1, long: 12 }) };
const STEPS = inForm({ short: 80, long: 160 });
const LIMIT_MS = inForm({ short: 60_000, long: 300_000 });

describe('after any run the reports say what the rows say', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system.stop());

  async function booksOf(steps: readonly RandomStep[]): Promise<Company> {
    const company = await system.company();
    const { owner, admin, accountant, manager, user } = company.users;
    const users = { owner, admin, accountant, manager, newcomer: user };
    const ids = Object.fromEntries(Object.entries(users).map(([name, { id }]) => [name, id])) as Record<Actor, string>;
    const books = newBooks(company.id, ids);
    for (const [index, step] of steps.entries()) {
      // Who may do what stays as it is, also without an approval, and what is done is done by one who may do everything.
      if (['grantUserAccess', 'triggerWorkflow', 'updateApprovalPolicies'].includes(step.operation)) continue;
      const request = requestOf(books, { ...step, actor: 'owner' });
      const key = `step-${index}`;
      expectAnswer(books, request, key).apply?.();
      await company.api.post(request.path, request.request.body, { key, method: request.operation.method });
    }
    return company;
  }

  test('of each period, of each day, in each currency', { timeout: 2 * LIMIT_MS }, async () => {
    const isOver = timeLimit(LIMIT_MS);
    await fc.assert(
      fc.asyncProperty(randomSteps(STEPS, STEPS + 20), async (steps) => {
        if (isOver()) return;
        const company = await booksOf(steps);
        const rows = await readRows(system.owner, company.id);
        const days = [...new Set(rows.journal_entries.map((entry) => entry['entry_date'] ?? ''))].toSorted();
        const some = [days[0], days[days.length >> 2], days[days.length >> 1], days.at(-1)].map(
          (day) => day ?? '2026-01-01',
        );
        for (const [index, day] of some.entries()) {
          await compareSalesTax(company.api, rows, some[index - 1] ?? '1999-01-01', day);
          await compareTieOut(company.api, rows, day);
          await compareBank(company.api, rows, day);
        }
        await compareStock(company.api, rows);
        await compareLedger(company.api, rows, days.at(-1) ?? '2026-12-31');
      }),
      RUNS,
    );
  });
});

const wire = (amount: bigint) => (Number.isSafeInteger(Number(amount)) ? Number(amount) : String(amount));

async function compareSalesTax(api: ApiClient, rows: Rows, from: string, to: string): Promise<void> {
  const { status, json } = await api.get(`/api/reports/sales-tax?from=${from}&to=${to}`);
  const expected = salesTaxOf(rows, from, to);
  const told = json.items.map((item: Record<string, string | number>) => [
    `${item['rate']} ${item['currency']}`,
    [item['base'], item['tax'], item['creditedBase'], item['creditedTax'], item['writtenOffTax']],
  ]);
  const should = Object.fromEntries(Object.entries(expected).map(([name, amounts]) => [name, amounts.map(wire)]));
  expect({ status, from, to, items: Object.fromEntries(told) }).toEqual({ status: 200, from, to, items: should });
  const isTax = (operation: string) => ['finalizeInvoice', 'createCreditNote', 'writeOffInvoice'].includes(operation);
  const [own, all] = [movementOf(rows, { from, to, isOf: isTax }), movementOf(rows, { from, to })];
  for (const { currency, tax, ledger, otherPostings } of json.totals) {
    const name = `2100 ${currency}`;
    expect({ tax, ledger, otherPostings }).toEqual({
      tax: wire(-(own.get(name) ?? 0n)),
      ledger: wire(-(own.get(name) ?? 0n)),
      otherPostings: wire((own.get(name) ?? 0n) - (all.get(name) ?? 0n)),
    });
  }
  const currencies = [...all.keys()].filter((name) => name.startsWith('2100 ')).map((name) => name.slice(5));
  expect(json.totals.map(({ currency }: { currency: string }) => currency)).toEqual(expect.arrayContaining(currencies));
}

async function compareTieOut(api: ApiClient, rows: Rows, asOf: string): Promise<void> {
  const { status, json } = await api.get(`/api/reports/tie-out?asOf=${asOf}`);
  const sub = subledgersOf(rows, asOf);
  const all = movementOf(rows, { to: asOf });
  const codes = ['1100', '1200', '2100', '2200', '2210', '2220'];
  const names = [...new Set([...sub.keys(), ...all.keys()])].filter((name) => codes.includes(name.slice(0, 4)));
  const should = names.map((name) => {
    const [expected, balance] = [sub.get(name) ?? 0n, all.get(name) ?? 0n];
    const [accountCode, currency] = name.split(' ');
    const amounts = { ledger: wire(expected), subledger: wire(expected), difference: 0 };
    return { accountCode, currency, ...amounts, otherPostings: wire(balance - expected) };
  });
  // What nothing has moved has no row.
  const isMoved = ({ ledger, otherPostings }: { ledger: unknown; otherPostings: unknown }) =>
    ledger !== 0 || otherPostings !== 0;
  const byName = (one: object, other: object) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1);
  const toldOf = (items: readonly object[]) =>
    (items as readonly { ledger: unknown; otherPostings: unknown }[]).filter(isMoved).toSorted(byName);
  expect([status, json.asOf, toldOf(json.items)]).toEqual([200, asOf, toldOf(should)]);
  const control = (amounts: ReadonlyMap<string, bigint>) =>
    names.filter((name) => name.startsWith('1')).map((name) => [name, amounts.get(name) ?? 0n]);
  expect(control(all)).toEqual(control(sub));
}

async function compareBank(api: ApiClient, rows: Rows, asOf: string): Promise<void> {
  for (const { code, is_bank: isBank } of rows.accounts) {
    if (isBank !== 'true') continue;
    const { json } = await api.get(`/api/reports/bank-reconciliation?accountCode=${code}&asOf=${asOf}`);
    const should = openAtBank(rows, code ?? '', asOf);
    const [books, bank] = [sumByCurrency(should.lines), sumByCurrency(should.transactions)];
    const ids = (all: readonly { id: string }[]) => all.map(({ id }) => id).toSorted();
    expect(json.items.map(({ currency }: { currency: string }) => currency)).toEqual(
      [...new Set([...books.keys(), ...bank.keys()])].toSorted(),
    );
    for (const item of json.items) {
      const { currency } = item;
      const of = (all: readonly Readonly<Record<string, string | null>>[]) =>
        all.filter((row) => row['currency'] === currency) as unknown as readonly { id: string }[];
      const sum = (all: readonly Readonly<Record<string, string | null>>[]) => sumByCurrency(all).get(currency) ?? 0n;
      expect({ ...item, outstanding: ids(item.outstanding), inTransit: ids(item.inTransit) }).toEqual({
        currency,
        bankBalance: wire(bank.get(currency) ?? 0n),
        outstanding: ids(of(should.outstanding)),
        outstandingCount: of(should.outstanding).length,
        outstandingTotal: wire(sum(should.outstanding)),
        inTransit: ids(of(should.inTransit)),
        inTransitCount: of(should.inTransit).length,
        inTransitTotal: wire(sum(should.inTransit)),
        booksBalance: wire(books.get(currency) ?? 0n),
        difference: 0,
      });
      const days = item.outstanding.map(({ date }: { date: string }) => date);
      expect(days).toEqual(days.toSorted());
    }
  }
}

async function compareStock(api: ApiClient, rows: Rows): Promise<void> {
  const entries = new Map(rows.journal_entries.map((entry) => [entry['id'], entry]));
  const stock = new Map<string, { quantity: bigint; value: bigint }>();
  const should = rows.inventory_movements
    .toSorted((one, other) => inOrder(one, other, 'moved_on'))
    .map((row) => {
      const itemId = row['item_id'] ?? '';
      const { quantity, value } = stock.get(itemId) ?? { quantity: 0n, value: 0n };
      const after = {
        quantity: quantity + BigInt(row['quantity_delta'] ?? 0),
        value: value + BigInt(row['value_delta_minor'] ?? 0),
      };
      stock.set(itemId, after);
      return {
        ...{ id: row['id'], itemId, date: row['moved_on'], quantityDelta: Number(row['quantity_delta']) },
        ...{ cost: Number(row['value_delta_minor']), quantity: wire(after.quantity), value: wire(after.value) },
        journalEntryId: row['journal_entry_id'],
        operation: entries.get(row['journal_entry_id'] ?? '')?.['operation'],
      };
    })
    .toReversed();
  expect(await walk(api, '/api/reports/stock-movements', { limit: 3 })).toEqual(should);
  for (const item of rows.inventory_items) {
    const path = `/api/reports/stock-movements?itemId=${item['id']}` as const;
    expect(await walk(api, path, { limit: 2 })).toEqual(should.filter(({ itemId }) => itemId === item['id']));
  }
}

async function compareLedger(api: ApiClient, rows: Rows, to: string): Promise<void> {
  const writes = new Map(rows.idempotent_writes.map((write) => [write['write_id'], write]));
  const reversals = new Map(rows.journal_entries.map((entry) => [entry['reverses'], entry['id']]));
  const runs = new Map(rows.pay_runs.map((run) => [run['journal_entry_id'], run['approved_by']]));
  const should = linesOf(rows)
    .toSorted(
      (one, other) =>
        inOrder(one.entry, other.entry, 'entry_date') ||
        Number(one.line['line_number']) - Number(other.line['line_number']),
    )
    .map(({ entry, line, code }) => {
      const write = writes.get(entry['write_id'] ?? null);
      return {
        ...{ date: entry['entry_date'], entryId: entry['id'], lineNumber: line['line_number'], lineId: line['id'] },
        ...{ accountCode: code, currency: line['currency'], amount: line['amount_minor'], memo: line['memo'] },
        ...{ description: entry['description'], operation: entry['operation'], writeId: entry['write_id'] },
        kind: /FiscalYear$/.test(entry['operation'] ?? '') ? 'closing' : 'normal',
        ...{
          requestId: write?.['request_id'],
          postedBy: write?.['user_id'],
          approvedBy: runs.get(entry['id'] ?? null),
        },
        ...{ reverses: entry['reverses'], reversedBy: reversals.get(entry['id'] ?? null), entryNumber: null },
      } as Readonly<Record<string, string | null | undefined>>;
    });
  const cell = (text: string | null | undefined) => text ?? '';
  const told = (lines: readonly ExportedLine[]) => lines.map(({ postedAt: _postedAt, ...line }) => line);
  const asCsv = should.map((line) =>
    Object.fromEntries(Object.entries(line).map(([name, text]) => [name, cell(text)])),
  );
  expect(told(await exportedCsv(api, `?to=${to}`))).toEqual(asCsv);
  const xml = await api.get(`${GENERAL_LEDGER}?to=${to}`, { accept: 'application/xml' });
  const asXml = asCsv.map((line) => Object.fromEntries(Object.entries(line).filter(([, text]) => text !== '')));
  expect(told(linesOfXml(xml.text))).toEqual(asXml);
}
