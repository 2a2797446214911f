import { z } from 'zod';
import { currency, id } from '../../activities/fields.ts';
import { PAYMENT_COLUMNS, type PaymentRow, toPayment } from '../../activities/resources/payment.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { planJoins } from './plan-joins.ts';
import { dateRange, pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const PAYMENTS: List = {
  columns: PAYMENT_COLUMNS,
  from: 'FROM payments p',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

export const listPayments = defineRead({
  path: '/api/payments',
  summary: 'List payments; from and to are dates of receipt',
  group: 'sales',
  answers: { kind: 'list', resource: 'payment' },
  params: z.strictObject({}),
  query: z.strictObject({
    ...pageQuery,
    ...dateRange,
    customerId: id().optional(),
    currency: currency().optional(),
  }),
  async read(tx, { query: { limit, cursor, ...filters } }, { companyId, cursors }) {
    if (filters.customerId !== undefined) await planJoins(tx, ['invoices']);
    const { rows, nextCursor } = await readPage<PaymentRow>(
      tx,
      PAYMENTS,
      [
        [
          `EXISTS (SELECT 1 FROM invoices i
             WHERE i.company_id = p.company_id AND i.id = p.invoice_id AND i.customer_id = ?)`,
          filters.customerId,
        ],
        ['currency = ?', filters.currency],
        ['received_on >= ?', filters.from],
        ['received_on <= ?', filters.to],
      ],
      { path: this.path, companyId, cursors, filters, limit, cursor },
    );
    return { items: rows.map(toPayment), nextCursor };
  },
});

export const readPayment = defineRead({
  path: '/api/payments/:paymentId',
  summary: 'Read a payment',
  group: 'sales',
  answers: { kind: 'one', resource: 'payment' },
  params: z.strictObject({ paymentId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { paymentId } }) {
    const [row] = await tx.query<PaymentRow>(
      `SELECT ${PAYMENT_COLUMNS} FROM payments WHERE company_id = current_company() AND id = $1`,
      [paymentId],
    );
    if (row === undefined) throw notFound('payment', `There is no payment ${paymentId}.`);
    return toPayment(row);
  },
});
