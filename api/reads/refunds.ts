import { z } from 'zod';
import { currency, id } from '../../activities/fields.ts';
import { REFUND_COLUMNS, type RefundRow, toRefund } from '../../activities/resources/refund.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { planJoins } from './plan-joins.ts';
import { dateRange, pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const REFUNDS: List = {
  columns: REFUND_COLUMNS,
  from: 'FROM refunds r JOIN payments p ON p.company_id = r.company_id AND p.id = r.payment_id',
  where: 'r.company_id = current_company()',
  order: [
    { sql: 'r.created_at', type: 'timestamptz' },
    { sql: 'r.id', type: 'uuid' },
  ],
};

export const listRefunds = defineRead({
  path: '/api/refunds',
  summary: 'List refunds; from and to are their dates',
  group: 'sales',
  answers: { kind: 'list', resource: 'refund' },
  params: z.strictObject({}),
  query: z.strictObject({
    ...pageQuery,
    ...dateRange,
    customerId: id().optional(),
    paymentId: id().optional(),
    currency: currency().optional(),
  }),
  async read(tx, { query: { limit, cursor, ...filters } }, { companyId, cursors }) {
    await planJoins(tx, filters.customerId === undefined ? ['payments'] : ['payments', 'invoices']);
    const { rows, nextCursor } = await readPage<RefundRow>(
      tx,
      REFUNDS,
      [
        [
          `EXISTS (SELECT 1 FROM invoices i
             WHERE i.company_id = p.company_id AND i.id = p.invoice_id AND i.customer_id = ?)`,
          filters.customerId,
        ],
        ['r.payment_id = ?', filters.paymentId],
        ['p.currency = ?', filters.currency],
        ['r.refunded_on >= ?', filters.from],
        ['r.refunded_on <= ?', filters.to],
      ],
      { path: this.path, companyId, cursors, filters, limit, cursor },
    );
    return { items: rows.map(toRefund), nextCursor };
  },
});

export const readRefund = defineRead({
  path: '/api/refunds/:refundId',
  summary: 'Read a refund',
  group: 'sales',
  answers: { kind: 'one', resource: 'refund' },
  params: z.strictObject({ refundId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { refundId } }) {
    const [row] = await tx.query<RefundRow>(
      `SELECT ${REFUND_COLUMNS} ${REFUNDS.from} WHERE ${REFUNDS.where} AND r.id = $1`,
      [refundId],
    );
    if (row === undefined) throw notFound('refund', `There is no refund ${refundId}.`);
    return toRefund(row);
  },
});
