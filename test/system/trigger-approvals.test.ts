import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { workflowIdOf } from '../../activities/identity.ts';
import type { ClosedMonth } from '../../workflows/close-month.ts';
import { APPROVAL_DECIDED } from '../../workflows/messages.ts';
import type { SentReminders } from '../../workflows/send-invoice-reminders.ts';
import { decide, expire, setPolicies } from '../support/approvals.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { startRelay } from '../support/relay.ts';
import { runTriggered } from '../support/run-triggered.ts';
import { type System, startSystem } from '../support/system.ts';

const THROUGH = '2026-01-31';

let system: System;
let relay: Awaited<ReturnType<typeof startRelay>>;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  relay = await startRelay(system);
});
beforeEach(async () => {
  company = await system.company();
});
afterAll(async () => {
  await relay.close();
  await system.stop();
});

const policyOf = (operation: string) => setPolicies(company, [{ operation, approverRoles: ['admin', 'owner'] }]);

/** Triggers `closeMonth` as the owner, and waits until its write waits for the admin. */
async function closing() {
  const payload = { through: THROUGH };
  const { id, workflowId } = (await company.api.post('/api/workflows/closeMonth/trigger', { payload })).json;
  const key = `trigger:${id}:close-1`;
  const result = async () => (await company.api.get(`/api/workflows/triggers/${id}`)).json.result;
  await until('it to wait', async () => (await result())?.failed?.[0]?.control === 'approval-pending');
  expect(await result()).toEqual({
    ...{ closed: false, through: THROUGH },
    failed: [
      {
        ...{ control: 'approval-pending', accountCode: null, currency: null, expected: null, found: null },
        detail: 'Closing the books waits for its approval: approve or reject this write.',
        resources: [`/api/writes/${key}`],
      },
    ],
  });
  const handle = system.temporal.workflow.getHandle(workflowId);
  const ended = async () => {
    await handle.result();
    return result();
  };
  const writes = async () =>
    (await company.api.get('/api/writes')).json.items.filter((write: { key: string }) =>
      write.key.startsWith(`trigger:${id}:`),
    );
  return { key, ended, writes };
}

describe('closing a month under a policy for the settings', () => {
  beforeEach(() => policyOf('updateCompanySettings'));

  test('says that it waits, and closes once it is approved', async () => {
    const { key, ended } = await closing();
    expect((await decide(company, key, 'approve')).json.state).toBe('succeeded');
    expect(await ended()).toEqual({ closed: true, through: THROUGH });
    expect((await company.api.get('/api/company/settings')).json.booksClosedThrough).toBe(THROUGH);
  });

  test.each([
    ['rejected', 'Closing the books was not approved'],
    ['expired', 'Closing the books was not approved in time'],
    ['cancelled', 'Closing the books was cancelled'],
  ])('ends without asking again once it is %s', async (how, fault) => {
    const { key, ended, writes } = await closing();
    if (how === 'rejected') await decide(company, key, 'reject');
    else if (how === 'cancelled') await company.api.send('POST', `/api/writes/${encodeURIComponent(key)}/cancel`);
    else {
      await expire(system.owner, company, key);
      await system.temporal.workflow.getHandle(workflowIdOf(company.id, key)).signal(APPROVAL_DECIDED);
    }
    expect(await ended()).toMatchObject({
      closed: false,
      failed: [
        {
          control: 'not-approved',
          detail: `${fault}: see why in this write, and trigger the workflow again.`,
          resources: [`/api/writes/${key}`],
        },
      ],
    });
    expect((await writes()).length).toBe(1);
    expect((await company.api.get('/api/company/settings')).json.booksClosedThrough).toBeNull();
  });

  test('goes on with the next attempt where its run was ended from outside while it waited', async () => {
    const { key, ended } = await closing();
    await system.temporal.workflow.getHandle(workflowIdOf(company.id, key)).terminate('A test');
    expect((await decide(company, key, 'approve')).status).toBe(200);
    expect(await ended()).toEqual({ closed: true, through: THROUGH });
  });
});

describe('reminders under a policy', () => {
  test('are left to those who approve them, and none waits for another', async () => {
    await policyOf('recordInvoiceReminder');
    for (let count = 0; count < 12; count += 1) await company.invoice();
    const { triggerId, result } = await runTriggered<SentReminders>(system, company, 'sendInvoiceReminders', {
      asOf: '2999-01-01',
    });
    expect(result).toEqual({ recorded: 0, refused: 0, pendingApproval: 12 });
    const { rows } = await system.owner.query(
      'SELECT idempotency_key AS key FROM approval_requests WHERE company_id = $1 AND closed_at IS NULL',
      [company.id],
    );
    expect(rows.filter(({ key }) => key.startsWith(`trigger:${triggerId}:`)).length).toBe(12);
    expect((await decide(company, rows[0].key, 'approve')).json.state).toBe('succeeded');
    const recorded = await system.owner.query(
      'SELECT count(*)::int AS n FROM invoice_reminders WHERE company_id = $1',
      [company.id],
    );
    expect(recorded.rows).toEqual([{ n: 1 }]);
  });
});

describe('a month that is closed while no policy is in the way', () => {
  test('is closed as before', async () => {
    await policyOf('createPayment');
    const { result } = await runTriggered<ClosedMonth>(system, company, 'closeMonth', { through: THROUGH });
    expect(result).toMatchObject({ closed: true, through: THROUGH });
  });
});
