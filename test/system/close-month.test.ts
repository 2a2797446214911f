import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClosedMonth } from '../../workflows/close-month.ts';
import type { MonthCheck } from '../../workflows/event-messages.ts';
import { bankRow } from '../support/bank.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { hire, payRun } from '../support/payroll.ts';
import { playClosing } from '../support/play-closing.ts';
import { startRelay } from '../support/relay.ts';
import { runTriggered } from '../support/run-triggered.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let relay: Awaited<ReturnType<typeof startRelay>>;
beforeAll(async () => {
  system = await startSystem();
  relay = await startRelay(system);
});
afterAll(async () => {
  await relay.close();
  await system.stop();
});

/** Closes the books through that day and reads the trigger's resource. */
async function close(company: Company, through: string) {
  const { triggerId } = await runTriggered<ClosedMonth>(system, company, 'closeMonth', { through });
  const { items } = (await company.api.get('/api/workflows/triggers')).json;
  const { json } = await company.api.get(`/api/workflows/triggers/${triggerId}`);
  expect(items[0]).toEqual(json);
  return json.result;
}

const NOTHING = { accountCode: null, currency: null, expected: null, found: null, resources: [] };

const controlsOf = ({ failed }: { failed: readonly { control: string }[] }) => failed.map(({ control }) => control);

/** SQL past the triggers and foreign keys, for what no request and no other release can make today. */
async function tamper(statement: string, values: readonly unknown[]): Promise<void> {
  const session = await system.owner.connect();
  try {
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    expect((await session.query(statement, [...values])).rowCount).toBe(1);
    await session.query('COMMIT');
  } finally {
    session.release();
  }
}

describe('the result of closing a month', () => {
  test('is null at first, then says that the books are closed, and stays so', async () => {
    const company = await system.company();
    await company.invoice();
    const trigger = await company.api.created('/api/workflows/sendInvoiceReminders/trigger', { payload: {} });
    expect(trigger.result).toBeNull();
    expect(await close(company, '2026-01-31')).toEqual({ closed: true, through: '2026-01-31' });
    expect(await close(company, '2026-01-30')).toEqual({ closed: true, through: '2026-01-30' });
    const overwriting = system.owner.query(
      `UPDATE workflow_results SET result = '{"closed": false}' WHERE company_id = $1`,
      [company.id],
    );
    await expect(overwriting).rejects.toMatchObject({ code: '23001' });
  });

  test('names a day that is not over, and what the bank has that the books do not know, with links', async () => {
    const company = await system.company();
    const line = { bankReference: 'L1', date: '2026-02-28', amount: 500, currency: 'USD', description: 'Unknown' };
    const { items } = await company.api.created('/api/bank-transactions/import', { transactions: [line] });
    const bank = (through: string) => ({
      ...NOTHING,
      control: 'bank-reconciled',
      detail: `Not every bank transaction up to and including ${through} is reconciled: reconcile these.`,
      resources: [`/api/bank-transactions/${items[0].id}`],
    });
    const early = {
      ...NOTHING,
      control: 'period-over',
      detail: '2999-01-01 has not ended yet: wait until it has, or close through an earlier day.',
    };
    const refused = (through: string, ...failed: object[]) => ({ closed: false, through, failed });
    expect(await close(company, '2999-01-01')).toEqual(refused('2999-01-01', early, bank('2999-01-01')));
    expect(await close(company, '2026-02-28')).toEqual(refused('2026-02-28', bank('2026-02-28')));
    expect(await close(company, '2026-02-27')).toEqual({ closed: true, through: '2026-02-27' });
  });

  test('says so when there is more in the way than it names', async () => {
    const company = await system.company();
    const rows = Array.from({ length: 21 }, () => bankRow(100));
    await company.api.created('/api/bank-transactions/import', { transactions: rows });
    const [bank] = (await close(company, '2026-02-28')).failed;
    expect([bank.control, bank.resources.length]).toEqual(['bank-reconciled', 20]);
    expect(bank.detail).toMatch(/: reconcile these\. There are more than 20; these are the first ones\.$/);
  });

  test('names the write by which the settings could not be changed', async () => {
    const company = await system.company();
    const held = await system.owner.connect();
    // The check waits until the member has lost the role.
    await held.query('BEGIN; LOCK TABLE bank_transactions IN ACCESS EXCLUSIVE MODE');
    const payload = { through: '2026-01-31' };
    const { id } = (await company.as('admin').post('/api/workflows/closeMonth/trigger', { payload })).json;
    await system.owner.query("UPDATE memberships SET roles = '{user}' WHERE company_id = $1 AND user_id = $2", [
      company.id,
      company.users.admin.id,
    ]);
    await held.query('COMMIT');
    held.release();
    const result = async () => (await company.api.get(`/api/workflows/triggers/${id}`)).json.result;
    await until('a result', async () => (await result()) !== null);
    const write = `/api/writes/trigger:${id}:close-3`;
    const failed = {
      ...NOTHING,
      control: 'settings-changed',
      detail: 'The settings could not be changed: see why in this write, and trigger the workflow again.',
      resources: [write],
    };
    expect(await result()).toEqual({ closed: false, through: '2026-01-31', failed: [failed] });
    expect((await company.api.get(write)).json).toMatchObject({ state: 'rejected', status: 403 });
  });

  test('tells the sentences of a check that a release before has made, which names nothing else', async () => {
    const checked: MonthCheck = {
      through: '2026-01-31',
      settingsVersion: 1,
      alreadyClosed: false,
      faults: ['2026-01-31 has not ended yet', 'A bank transaction in this period is not reconciled'],
    };
    const { kept } = await playClosing({ check: () => checked });
    const untold = { ...NOTHING, control: 'not-told' };
    const failed = checked.faults.map((fault) => ({ ...untold, detail: `${fault}.` }));
    expect(kept).toEqual([{ closed: false, through: '2026-01-31', failed }]);
  });
});

describe('a month is checked as of its last day', () => {
  test('an invoice that was in credit keeps open the days on which it was, and no others', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice({ issueDate: '2026-02-10', total: 1_000 });
    const payment = await company.api.created('/api/payments', { ...paymentBody(invoiceId), receivedOn: '2026-02-10' });
    // As a release of before the rule could date it.
    await tamper("UPDATE payments SET received_on = '2026-01-20' WHERE id = $1", [payment.id]);
    await tamper("UPDATE journal_entries SET entry_date = '2026-01-20' WHERE id = $1", [payment.journalEntryId]);
    const inCredit = {
      control: 'due-by-day',
      accountCode: '1100',
      currency: 'USD',
      expected: 0,
      found: -100,
      detail: expect.stringContaining('2026-01-20'),
      resources: [`/api/invoices/${invoiceId}`],
    };
    expect(await close(company, '2026-01-19')).toEqual({ closed: true, through: '2026-01-19' });
    for (const through of ['2026-01-20', '2026-01-31', '2026-02-28']) {
      expect(await close(company, through)).toEqual({ closed: false, through, failed: [inCredit] });
    }
    // Closed by hand up to the last of them: nobody can put right any more what is closed.
    const settings = { expectedVersion: 2, booksClosedThrough: '2026-02-08' };
    await company.api.created('/api/company/settings', settings, { method: 'PATCH' });
    expect(controlsOf(await close(company, '2026-02-28'))).toEqual(['due-by-day']);
    await company.api.created(
      '/api/company/settings',
      { expectedVersion: 3, booksClosedThrough: '2026-02-09' },
      { method: 'PATCH' },
    );
    expect(await close(company, '2026-02-28')).toEqual({ closed: true, through: '2026-02-28' });
  });

  test('1100 is compared with what was due then', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice({ issueDate: '2026-01-15', total: 1_000 });
    const payment = await company.api.created('/api/payments', { ...paymentBody(invoiceId), receivedOn: '2026-02-10' });
    await tamper("UPDATE journal_entries SET entry_date = '2026-01-31' WHERE id = $1", [payment.journalEntryId]);
    expect(await close(company, '2026-01-30')).toEqual({ closed: true, through: '2026-01-30' });
    const result = await close(company, '2026-01-31');
    expect(result.failed).toEqual([
      {
        control: 'receivable',
        accountCode: '1100',
        currency: 'USD',
        expected: 1_000,
        found: 900,
        detail: expect.stringContaining('1100'),
        resources: ['/api/ledger/trial-balance?asOf=2026-01-31', '/api/reports/aged-receivables?asOf=2026-01-31'],
      },
    ]);
    for (const link of result.failed[0].resources) expect((await company.api.get(link)).status).toBe(200);
    // Both sides agree again; the payment and its entry do not.
    const [unposted] = (await close(company, '2026-02-28')).failed;
    expect(unposted).toMatchObject({
      control: 'claims-posted',
      found: null,
      resources: [`/api/payments/${payment.id}`],
    });
  });

  test('1200 likewise, and no stock is negative', async () => {
    const company = await system.company();
    const item = { sku: 'LAMP', name: 'Lamp', currency: 'USD', openingQuantity: 10, openingUnitCost: 100 };
    const { id } = await company.api.created('/api/inventory/items', { ...item, date: '2026-02-02' });
    const sold = { quantityDelta: -3, reason: 'Sold', date: '2026-02-10' };
    await company.api.created(`/api/inventory/${id}/adjust`, sold);
    await tamper("UPDATE inventory_movements SET moved_on = '2026-01-20' WHERE reason = 'Sold' AND item_id = $1", [id]);
    const { failed } = await close(company, '2026-01-31');
    expect(failed.map((one: object) => ({ ...one, detail: '' }))).toEqual([
      ...[
        { expected: -300, found: 0 },
        { expected: 0, found: -300 },
      ].map((amounts, index) => ({
        control: index === 0 ? 'inventory' : 'stock-by-day',
        accountCode: '1200',
        currency: 'USD',
        ...amounts,
        detail: '',
        resources:
          index === 0
            ? ['/api/ledger/trial-balance?asOf=2026-01-31', '/api/inventory/items']
            : [`/api/inventory/items/${id}`],
      })),
      {
        ...NOTHING,
        control: 'movements-posted',
        detail: '',
        resources: [expect.stringMatching(/^\/api\/ledger\/entries\//), `/api/inventory/items/${id}`],
      },
    ]);
  });

  test('where only the quantity of an item is negative, no amount is told, but the day and the quantity', async () => {
    const company = await system.company();
    const item = { sku: 'LAMP', name: 'Lamp', currency: 'USD', openingQuantity: 1, openingUnitCost: 1_000 };
    const { id } = await company.api.created('/api/inventory/items', { ...item, date: '2026-01-10' });
    const adjust = (adjustment: object) => company.api.created(`/api/inventory/${id}/adjust`, adjustment);
    await adjust({ quantityDelta: 10, unitCost: 100, reason: 'Delivery', date: '2026-02-02' });
    // Three at 181.8 each are less than the 1,000 for which the first one was bought.
    await adjust({ quantityDelta: -3, reason: 'Sold', date: '2026-02-10' });
    await tamper("UPDATE inventory_movements SET moved_on = '2026-01-20' WHERE reason = 'Sold' AND item_id = $1", [id]);
    const entryId = "SELECT journal_entry_id FROM inventory_movements WHERE reason = 'Sold' AND item_id = $1";
    await tamper(`UPDATE journal_entries SET entry_date = '2026-01-20' WHERE id = (${entryId})`, [id]);
    expect((await close(company, '2026-01-31')).failed).toEqual([
      {
        control: 'stock-by-day',
        accountCode: '1200',
        currency: 'USD',
        expected: null,
        found: null,
        detail:
          'Does not hold: No item has a negative quantity or value as of any day. This is about 2026-01-20, with a quantity of -2.',
        resources: [`/api/inventory/items/${id}`],
      },
    ]);
  });

  test('what is wrong with a later month does not keep it open', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice({ issueDate: '2026-02-10', total: 1_000 });
    await tamper('UPDATE invoices SET paid_minor = 1 WHERE id = $1', [invoiceId]);
    const { journalEntryId: entryId } = (await company.api.get(`/api/invoices/${invoiceId}`)).json;
    await tamper('UPDATE journal_lines SET amount_minor = amount_minor + 1 WHERE entry_id = $1 AND line_number = 1', [
      entryId,
    ]);
    expect(await close(company, '2026-02-09')).toEqual({ closed: true, through: '2026-02-09' });
    const { failed } = await close(company, '2026-02-10');
    expect(controlsOf({ failed })).toEqual([
      ...['entries-balance', 'trial-balance', 'receivable', 'invoice-paid', 'claims-posted'],
    ]);
    expect(failed[0]).toMatchObject({
      currency: 'USD',
      expected: 0,
      found: 1,
      resources: [`/api/ledger/entries/${entryId}`],
    });
  });
});

describe('nothing that is decided is left unposted', () => {
  test('an approved pay run is executed first, unless nobody could execute it any more', async () => {
    const company = await system.company();
    await hire(company);
    const first = await payRun(company);
    const second = await payRun(company);
    const result = await close(company, '2026-01-31');
    expect(result.failed).toEqual([
      {
        ...NOTHING,
        control: 'pay-runs-executed',
        detail: expect.stringContaining('execute these, or close the books by the settings'),
        resources: expect.arrayContaining([first, second].map(({ id }) => `/api/payroll/pay-runs/${id}`)),
      },
    ]);
    expect(await close(company, '2026-01-29')).toEqual({ closed: true, through: '2026-01-29' });
    await company.api.created(`/api/payroll/pay-runs/${first.id}/execute`, {});
    expect(await close(company, '2026-01-31')).toEqual({ closed: true, through: '2026-01-31' });
  });

  test('an approved pay run that nobody wants is in the way no more when the settings have closed its day', async () => {
    const company = await system.company();
    await hire(company);
    await payRun(company);
    expect(controlsOf(await close(company, '2026-02-28'))).toEqual(['pay-runs-executed']);
    const settings = { expectedVersion: 1, booksClosedThrough: '2026-01-31' };
    await company.api.created('/api/company/settings', settings, { method: 'PATCH' });
    expect(await close(company, '2026-02-28')).toEqual({ closed: true, through: '2026-02-28' });
  });

  test('drafts are proposals, and in nobody’s way', async () => {
    const company = await system.company();
    await company.draftInvoice({ issueDate: '2026-01-15' });
    await hire(company);
    await payRun(company, { asDraft: true });
    expect(await close(company, '2026-01-31')).toEqual({ closed: true, through: '2026-01-31' });
  });
});
