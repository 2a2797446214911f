import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { workflowIdOf, writeId } from '../../activities/identity.ts';
import { updateCompanySettings } from '../../activities/operations/update-company-settings.ts';
import type { ClosedMonth } from '../../workflows/close-month.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { startRelay } from '../support/relay.ts';
import { runTriggered } from '../support/run-triggered.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

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

/** Triggers the workflow and waits until it is done. */
const run = <Result>(company: Company, name: string, payload: object, by: Parameters<typeof runTriggered>[4] = {}) =>
  runTriggered<Result>(system, company, name, payload, by);

describe('sendInvoiceReminders', () => {
  type Sent = { recorded: number; refused: number };
  const remind = (company: Company, asOf: string, role: 'owner' | 'manager' = 'owner') =>
    run<Sent>(company, 'sendInvoiceReminders', { asOf }, { role });
  const reminders = async (company: Company) => (await company.api.get('/api/reminders')).json.items;

  test('records the first reminder of each overdue invoice, as the member who triggered it, and no second one soon', async () => {
    const company = await system.company();
    const overdue = [await company.invoice(), await company.invoice()];
    await company.draftInvoice();
    const paid = await company.invoice({ total: 100 });
    await company.api.created('/api/payments', paymentBody(paid, 100));
    expect((await remind(company, '2026-12-31')).result).toEqual({ recorded: 0, refused: 0 });

    const { triggerId, result } = await remind(company, '2027-01-01', 'manager');
    expect(result).toEqual({ recorded: 2, refused: 0 });
    const items = await reminders(company);
    expect(items.map(({ invoiceId }: { invoiceId: string }) => invoiceId).toSorted()).toEqual(overdue.toSorted());
    expect(items.every(({ step }: { step: number }) => step === 1)).toBe(true);
    const write = (await company.api.get(`/api/writes/trigger:${triggerId}:${overdue[0]}:1`)).json;
    expect(write).toMatchObject({
      operation: 'recordInvoiceReminder',
      state: 'succeeded',
      actor: { userId: company.users.manager.id },
    });
    // The second comes when its day has come, which is two weeks after the first and a week after it was recorded.
    expect((await remind(company, '2027-01-13')).result).toEqual({ recorded: 0, refused: 0 });
    expect((await remind(company, '2027-01-14')).result).toEqual({ recorded: 2, refused: 0 });
  });

  test('records none for an invoice of which something was refunded since its last reminder', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice();
    await remind(company, '2027-01-02');
    const payment = await company.api.created('/api/payments', paymentBody(invoiceId, 100));
    await company.api.created('/api/refunds', { paymentId: payment.id, amount: 100, reason: 'Disputed' });
    expect((await remind(company, '2027-03-01')).result).toEqual({ recorded: 0, refused: 0 });
    await company.api.created(`/api/invoices/${invoiceId}/reminders`, { step: 2 });
    expect((await remind(company, '2027-03-01')).result).toEqual({ recorded: 1, refused: 0 });
  });

  test('writes nothing for a member whose role was revoked meanwhile', async () => {
    const company = await system.company();
    await company.invoice();
    const { admin } = company.users;
    const held = await system.owner.connect();
    // What is due cannot be read yet, and so not be written.
    await held.query('BEGIN; LOCK TABLE invoice_reminders IN ACCESS EXCLUSIVE MODE');
    const trigger = await company.as('admin').post('/api/workflows/sendInvoiceReminders/trigger', {
      payload: { asOf: '2027-01-02' },
    });
    await system.owner.query("UPDATE memberships SET roles = ARRAY['user'] WHERE company_id = $1 AND user_id = $2", [
      company.id,
      admin.id,
    ]);
    await held.query('COMMIT');
    held.release();
    expect(await waitFor<Sent>(trigger.json.workflowId)).toEqual({ recorded: 0, refused: 1 });
    expect(await reminders(company)).toEqual([]);
    const refused = (await company.api.get('/api/writes?operation=recordInvoiceReminder')).json.items;
    expect(refused).toMatchObject([{ state: 'rejected', status: 403, actor: { userId: admin.id } }]);
  });

  async function waitFor<Result>(workflowId: string): Promise<Result> {
    for (let attempt = 0; attempt < 100; attempt += 1) {
      const found = await system.temporal.workflow
        .getHandle(workflowId)
        .describe()
        .catch(() => undefined);
      if (found !== undefined) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return (await system.temporal.workflow.getHandle(workflowId).result()) as Result;
  }
});

describe('closeMonth', () => {
  const close = (company: Company, payload: object, key?: string) =>
    run<ClosedMonth>(company, 'closeMonth', payload, { role: 'admin', ...(key !== undefined && { key }) });
  const closedThrough = async (company: Company) =>
    (await company.api.get('/api/company/settings')).json.booksClosedThrough;

  test('closes the books through the day, by a change of the settings, once', async () => {
    const company = await system.company();
    await company.invoice();
    const { triggerId, result } = await close(company, { through: '2026-01-31' });
    expect(result).toEqual({ through: '2026-01-31', closed: true, faults: [] });
    expect(await closedThrough(company)).toBe('2026-01-31');
    const write = (await company.api.get(`/api/writes/trigger:${triggerId}:close-1`)).json;
    expect(write).toMatchObject({
      operation: 'updateCompanySettings',
      state: 'succeeded',
      actor: { userId: company.users.admin.id },
    });
    expect((await close(company, { through: '2026-01-30' })).result.closed).toBe(true);
    expect(await closedThrough(company)).toBe('2026-01-31');
  });

  test('closes the month before this one when no day is given', async () => {
    const company = await system.company();
    const { result } = await close(company, {});
    const { rows } = await system.owner.query(
      "SELECT (date_trunc('month', now() AT TIME ZONE 'UTC')::date - 1)::text AS day",
    );
    expect(result).toEqual({ through: rows[0].day, closed: true, faults: [] });
  });

  test('does not take the write of another request for its own, whoever made it', async () => {
    const company = await system.company();
    const triggerId = writeId(company.id, 'triggerWorkflow', 'the-trigger');
    const key = `trigger:${triggerId}:close-1`;
    await system.temporal.workflow.execute('write', {
      workflowId: workflowIdOf(company.id, key),
      taskQueue: system.environment['TEMPORAL_TASK_QUEUE'] ?? '',
      args: [writeArguments(company, updateCompanySettings, { expectedVersion: 1, name: 'Foreign Ltd' }, key)],
    });
    expect((await company.api.get('/api/company/settings')).json.name).toBe('Foreign Ltd');
    const triggered = await close(company, { through: '2026-01-31' }, 'the-trigger');
    expect(triggered.triggerId).toBe(triggerId);
    // Its own write is the one of the next step.
    expect(triggered.result).toEqual({ through: '2026-01-31', closed: true, faults: [] });
    expect(await closedThrough(company)).toBe('2026-01-31');
  });

  test('leaves them open while a bank transaction up to that day is not reconciled, or the day is not over', async () => {
    const company = await system.company();
    const line = { bankReference: 'L1', date: '2026-02-28', amount: 500, currency: 'USD', description: 'Unknown' };
    await company.api.created('/api/bank-transactions/import', { transactions: [line] });
    expect((await close(company, { through: '2026-02-28' })).result).toEqual({
      through: '2026-02-28',
      closed: false,
      faults: ['A bank transaction in this period is not reconciled'],
    });
    expect((await close(company, { through: '2999-01-01' })).result.faults).toContain('2999-01-01 has not ended yet');
    expect(await closedThrough(company)).toBeNull();
    expect((await close(company, { through: '2026-02-27' })).result.closed).toBe(true);
  });

  test('leaves them open while a control does not hold', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice();
    await system.owner.query('UPDATE invoices SET paid_minor = 1 WHERE id = $1', [invoiceId]);
    expect((await close(company, { through: '2026-01-31' })).result.faults).toEqual([
      'The control invoice-paid does not hold: The amount paid on an invoice equals its payments less refunds, without those that are void.',
    ]);
    await system.owner.query('UPDATE invoices SET paid_minor = 0 WHERE id = $1', [invoiceId]);
    expect((await close(company, { through: '2026-01-31' })).result.closed).toBe(true);
    expect(await brokenControls(system.owner)).toEqual({});
  });
});
