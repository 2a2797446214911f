import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { oneByOne } from '../support/one-by-one.ts';
import { type System, startSystem } from '../support/system.ts';

/** Says no only when its work is done. */
const rejectedLate = (operation: Operation): Operation => ({
  ...oneByOne(operation),
  async write(tx, input, context) {
    const written = await operation.write(tx, input, context);
    if (input.body['name'] === 'Rejected late') throw context.reject('customer_reference_taken', 'Too late.');
    return written;
  },
});

describe('a rejection', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem({
      operations: OPERATIONS.map((operation) => (operation === createCustomer ? rejectedLate(operation) : operation)),
    });
    company = await system.company();
  });
  afterAll(() => system.stop());

  const rejectedOnce = { writes: 0, rows: 0, entries: 0, newAudit: 0, failedAudit: 1, events: 0 };
  const effects = (key: string, table = 'payments') =>
    countEffects(system.owner, { companyId: company.id, table, key });

  test('is kept for its key after its cause is gone; a new key succeeds', async () => {
    const draft = await company.draftInvoice();
    const send = (key: string) => company.api.post('/api/payments', paymentBody(draft), { key });
    const first = await send('too-early');
    expect([first.status, first.replayed]).toEqual([409, false]);
    expect(first.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect(first.headers.get('location')).toBeNull();
    expect(first.json).toEqual({
      type: '/docs/errors#invoice_not_payable',
      title: 'The invoice cannot be paid',
      status: 409,
      detail: 'The invoice is draft.',
      instance: '/api/writes/too-early',
      code: 'invoice_not_payable',
      retryable: false,
      nextAction: 'use_new_key',
      errors: [{ in: 'body', pointer: '/invoiceId' }],
    });
    expect(await effects('too-early')).toMatchObject({ ...rejectedOnce, replayedAudit: 0 });

    await company.api.created(`/api/invoices/${draft}/finalize`, {});
    const again = await send('too-early');
    expect([again.status, again.replayed, again.text]).toEqual([409, true, first.text]);
    expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'));
    expect(await effects('too-early')).toMatchObject({ ...rejectedOnce, replayedAudit: 1 });

    const anew = await send('in-time');
    expect([anew.status, anew.replayed]).toEqual([201, false]);
  });

  test('leaves nothing of what the operation had done before, and its code in the audit log', async () => {
    await company.api.created('/api/customers', { name: 'One', externalReference: 'REF' });
    const taken = await company.api.post('/api/customers', { name: 'Two', externalReference: 'REF' }, { key: 'taken' });
    expect([taken.status, taken.json.code]).toEqual([409, 'customer_reference_taken']);
    expect(taken.text).not.toMatch(/customers_external_reference_key|duplicate|constraint/i);
    expect(await effects('taken', 'customers')).toMatchObject({ ...rejectedOnce, rows: 0 });
    const { rows } = await system.owner.query(
      `SELECT error_code, status FROM idempotent_write_audit_log WHERE company_id = $1 AND idempotency_key = 'taken'`,
      [company.id],
    );
    expect(rows).toEqual([{ error_code: 'customer_reference_taken', status: 'failed' }]);
    const { rows: written } = await system.owner.query(
      `SELECT outcome, status_code, location, resource_id FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = 'taken'`,
      [company.id],
    );
    expect(written).toEqual([{ outcome: 'rejected', status_code: 409, location: null, resource_id: null }]);
  });

  test('takes back what the operation had written when it said no', async () => {
    const late = await company.api.post('/api/customers', { name: 'Rejected late' }, { key: 'late' });
    expect([late.status, late.json.code]).toEqual([409, 'customer_reference_taken']);
    expect(await effects('late', 'customers')).toMatchObject(rejectedOnce);
    const { rowCount } = await system.owner.query(`SELECT 1 FROM customers WHERE name = 'Rejected late'`);
    expect(rowCount).toBe(0);
  });

  test('completes its workflow, which says so', async () => {
    await company.api.post('/api/payments', paymentBody(await company.draftInvoice()), { key: 'workflow' });
    const handle = system.temporal.workflow.getHandle(`${company.id}:workflow`);
    expect(await handle.result()).toMatchObject({ outcome: 'rejected', statusCode: 409, first: true });
    const { searchAttributes, status } = await handle.describe();
    expect(status.name).toBe('COMPLETED');
    expect(searchAttributes['Outcome']).toEqual(['rejected']);
  });

  test('rolls back whatever came before the constraint that it stands for', async () => {
    const invoiceId = await company.invoice();
    await system.owner.query(`UPDATE companies SET books_closed_through = '2026-02-15' WHERE id = $1`, [company.id]);
    const late = await company.api.post('/api/payments', paymentBody(invoiceId), { key: 'closed' });
    expect([late.status, late.json.code, late.json.nextAction]).toEqual([409, 'period_closed', 'fix_request']);
    expect(await effects('closed')).toMatchObject(rejectedOnce);
    const { rows } = await system.owner.query('SELECT paid_minor::int AS paid FROM invoices WHERE id = $1', [
      invoiceId,
    ]);
    expect(rows).toEqual([{ paid: 0 }]);
  });
});
