import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { RunningApi } from '../../api/app.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { holdInvoice, untilWaiting } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';
import { tally } from '../support/tally.ts';

let system: System;
let company: Company;
let other: RunningApi;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  other = await system.another();
});
afterAll(() => system.stop());

const patient = { headers: { prefer: 'wait=60' } };
const times = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, index) => make(index));
/** Clients of two APIs in turn: what must hold may not rest on one process. */
const client = (index: number) => (index % 2 === 0 ? company.api : company.as('owner', other.url));

const refund = (index: number, paymentId: string, amount: number) =>
  client(index).post('/api/refunds', { paymentId, amount, reason: 'Back', date: '2026-03-01' }, patient);
const credit = (index: number, invoiceId: string, net: number) =>
  client(index).post(
    `/api/invoices/${invoiceId}/credit-notes`,
    { lines: [{ lineNumber: 1, net }], reason: 'Discount', date: '2026-03-01' },
    patient,
  );
const voiding = (index: number, invoiceId: string, date = '2026-03-01') =>
  client(index).post(`/api/invoices/${invoiceId}/void`, { reason: 'Wrong', date }, patient);

const invoiceRow = async (id: string) =>
  (
    await system.owner.query(
      `SELECT status, total_minor::int AS total, paid_minor::int AS paid, credited_minor::int AS credited,
         due_minor::int AS due FROM invoices WHERE id = $1`,
      [id],
    )
  ).rows[0];

describe('what takes something back, many at once', () => {
  test('20 refunds of one payment never give back more than was paid', async () => {
    const invoiceId = await company.invoice({ total: 2_000 });
    const payment = await company.api.created('/api/payments', paymentBody(invoiceId, 1_000));
    await company.api.created('/api/payments', paymentBody(invoiceId, 1_000));
    const answers = await Promise.all(times(20, (index) => refund(index, payment.id, 90)));
    expect(tally(answers)).toEqual({ '201': 11, '422 refund_exceeds_payment': 9 });
    expect(await invoiceRow(invoiceId)).toMatchObject({ paid: 2_000 - 990, due: 990 });
    expect(await brokenControls(system.owner)).toEqual({});
  });

  test('20 credit notes of one line never credit more than its net, and its tax to the last unit', async () => {
    const { id } = await company.api.created('/api/invoices', {
      customerId: await company.customer(),
      currency: 'USD',
      issueDate: '2026-01-15',
      dueDate: '2026-12-31',
      lines: [
        { description: 'Work', quantity: '1', unitPrice: 100, taxRateBasisPoints: 825 },
        // So that the line is the limit, and not what is due.
        { description: 'More', quantity: '1', unitPrice: 10_000 },
      ],
    });
    await company.api.created(`/api/invoices/${id}/finalize`, {});
    const answers = await Promise.all(times(20, (index) => credit(index, id, 10)));
    expect(tally(answers)).toEqual({ '201': 10, '422 credit_exceeds_line': 10 });
    // Tax 8: nine parts have a share of 0.8, which is 1, as long as there is any; eight do.
    expect(await invoiceRow(id)).toMatchObject({ credited: 108 });
    expect(await brokenControls(system.owner)).toEqual({});
  });

  test('20 credit notes never credit more than is due', async () => {
    const invoiceId = await company.invoice({ total: 1_000 });
    await company.api.created('/api/payments', paymentBody(invoiceId, 400));
    const answers = await Promise.all(times(20, (index) => credit(index, invoiceId, 50)));
    expect(tally(answers)).toEqual({ '201': 12, '422 credit_exceeds_due': 8 });
    expect(await invoiceRow(invoiceId)).toMatchObject({ status: 'paid', paid: 400, credited: 600, due: 0 });
  });

  test('a void that waited for a refund sees it: the refusal names the day as of which the invoice was paid', async () => {
    const invoiceId = await company.invoice({ total: 1_000 });
    const payment = await company.api.created('/api/payments', paymentBody(invoiceId, 1_000));
    const held = await holdInvoice(system.owner, invoiceId);
    const refunding = refund(0, payment.id, 1_000);
    await untilWaiting(system.owner, 1);
    // It waits behind the refund, which is dated a day later.
    const voided = voiding(1, invoiceId, '2026-02-28');
    await untilWaiting(system.owner, 2);
    await held.release();
    expect((await refunding).status).toBe(201);
    const { status, json } = await voided;
    expect([status, json.code, json.detail]).toEqual([
      422,
      'as_of_conflict',
      '10.00 USD of the invoice is paid as of 2026-02-28.',
    ]);
  });

  test('credit notes, payments, refunds and voids of one invoice: each is taken or refused, and none goes below zero', async () => {
    for (let round = 0; round < 6; round += 1) {
      const invoiceId = await company.invoice({ total: 1_000 });
      const payments = times(6, (index) =>
        client(index)
          .post('/api/payments', paymentBody(invoiceId, 200), patient)
          .then(async (answer) => {
            // Half of the payments are given back as soon as they are there.
            if (answer.status === 201 && index % 2 === 0) await refund(index, answer.json.id, 200);
            return answer;
          }),
      );
      const answers = await Promise.all([
        voiding(round, invoiceId),
        ...payments,
        ...times(6, (index) => credit(index, invoiceId, 150)),
        voiding(round + 1, invoiceId),
      ]);
      const allowed = [
        '200',
        '201',
        '409 invoice_not_voidable',
        '409 invoice_not_payable',
        '409 invoice_not_creditable',
      ];
      const said = Object.keys(tally(answers)).filter(
        (one) => !/payment_exceeds_outstanding|credit_exceeds|as_of_conflict/.test(one),
      );
      expect(allowed).toEqual(expect.arrayContaining(said));
      const { status, total, paid, credited, due } = await invoiceRow(invoiceId);
      expect(due).toBe(status === 'void' ? 0 : total - paid - credited);
      expect(due).toBeGreaterThanOrEqual(0);
      expect(answers.filter((answer) => answer.status === 200)).toHaveLength(status === 'void' ? 1 : 0);
    }
    expect(await brokenControls(system.owner)).toEqual({});
    const { rows } = await system.owner.query(
      'SELECT deadlocks::int AS deadlocks FROM pg_stat_database WHERE datname = current_database()',
    );
    expect(rows[0].deadlocks).toBe(0);
  });
});
