import { z } from 'zod';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { accountCode, basisPoints, currency, date, description, id, metadata, quantity, unitPrice } from '../fields.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { lineNet, MAX_AMOUNT_MINOR, taxOn } from '../money.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import {
  INVOICE_COLUMNS,
  type InvoiceRow,
  invoiceResource,
  readInvoiceLines,
  toInvoice,
} from '../resources/invoice.ts';

const body = z
  .strictObject({
    customerId: id(),
    currency: currency(),
    dueDate: date(),
    issueDate: date().optional(),
    lines: z
      .array(
        z.strictObject({
          description: description(),
          quantity: quantity(),
          unitPrice: unitPrice(),
          taxRateBasisPoints: basisPoints().default(0),
          accountCode: accountCode().default(ACCOUNTS.sales),
        }),
      )
      .min(1)
      .max(200),
    memo: description().optional(),
    metadata: metadata().optional(),
  })
  .refine((invoice) => invoice.issueDate === undefined || invoice.dueDate >= invoice.issueDate, {
    path: ['dueDate'],
    message: 'must not be before issueDate',
  });

export const createInvoice = defineOperation({
  name: 'createInvoice',
  type: 'financial',
  summary: 'Create a draft invoice',
  description:
    'Creates a draft with its totals; nothing is posted until it is finalized. Per line: net = quantity × unitPrice and tax = ' +
    'net × taxRateBasisPoints / 10 000, each rounded half away from zero. `issueDate` defaults to today in the company’s time ' +
    'zone.',
  method: 'POST',
  path: '/api/invoices',
  params: z.strictObject({}),
  body,
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant', 'manager'],
  successStatus: 201,
  resource: invoiceResource,
  event: 'invoice.created',
  effects: { posts: 'never', makes: 'invoices' },
  rejections: {
    customer_not_found: { status: 422, title: 'There is no such customer', nextAction: 'fix_request' },
    currency_mismatch: {
      status: 422,
      title: 'The customer is invoiced in another currency',
      nextAction: 'fix_request',
    },
    account_not_usable: {
      status: 422,
      title: 'The account is not an income account of this company',
      nextAction: 'fix_request',
    },
    amount_out_of_range: { status: 422, title: 'The total is outside 1 … 10^13', nextAction: 'fix_request' },
    due_before_issue: { status: 422, title: 'The due date is before the issue date', nextAction: 'fix_request' },
  },
  constraints: { invoices_due_on_or_after_issue: 'due_before_issue' },
  examples: [
    {
      name: 'invoice',
      summary: 'Two lines, one of them taxed',
      params: {},
      body: {
        customerId: DEMO.customerId,
        currency: 'USD',
        issueDate: '2026-03-02',
        dueDate: '2026-04-01',
        lines: [
          { description: 'Bookkeeping, March', quantity: '1.5', unitPrice: 333, taxRateBasisPoints: 825 },
          { description: 'Filing', quantity: '3', unitPrice: 1999 },
        ],
        memo: 'Thank you',
      },
    },
  ],
  summarize: ({ body: invoice }) =>
    `createInvoice in ${invoice.currency} for customer ${invoice.customerId}, ${invoice.lines.length} lines`,

  async write(tx, { body: invoice }, context) {
    const lines = invoice.lines.map((line) => {
      const netMinor = lineNet(line.quantity, BigInt(line.unitPrice));
      return { ...line, netMinor, taxMinor: taxOn(netMinor, line.taxRateBasisPoints) };
    });
    const subtotalMinor = lines.reduce((sum, line) => sum + line.netMinor, 0n);
    const taxMinor = lines.reduce((sum, line) => sum + line.taxMinor, 0n);
    const totalMinor = subtotalMinor + taxMinor;
    if (totalMinor < 1n || totalMinor > MAX_AMOUNT_MINOR) {
      throw context.reject(
        'amount_out_of_range',
        `The total is ${totalMinor} minor units; it must be 1 to 10^13.`,
        '/lines',
      );
    }
    await requireCustomer(tx, invoice, context);
    const accounts = await incomeAccounts(tx, lines, context);

    const [row] = await tx.query<InvoiceRow>(
      `INSERT INTO invoices (company_id, id, customer_id, currency, issue_date, due_date, memo, subtotal_minor, tax_minor,
         total_minor, metadata)
       VALUES ($1, $2, $3, $4, coalesce($5, company_today($1)), $6, $7, $8, $9, $10, $11)
       RETURNING ${INVOICE_COLUMNS}`,
      [
        context.companyId,
        context.writeId,
        invoice.customerId,
        invoice.currency,
        invoice.issueDate ?? null,
        invoice.dueDate,
        invoice.memo ?? null,
        subtotalMinor,
        taxMinor,
        totalMinor,
        JSON.stringify(invoice.metadata ?? {}),
      ],
    );
    if (row === undefined) throw new Error('Bug! The INSERT returned no row');
    await tx.query(
      `INSERT INTO invoice_lines (company_id, invoice_id, line_number, description, quantity, unit_price_minor,
         tax_rate_basis_points, account_id, net_minor, tax_minor)
       SELECT $1, $2, l.line_number, l.description, l.quantity, l.unit_price, l.tax_rate, l.account_id, l.net, l.tax
       FROM jsonb_to_recordset($3) AS l (line_number smallint, description text, quantity numeric, unit_price bigint,
         tax_rate integer, account_id uuid, net bigint, tax bigint)`,
      [
        context.companyId,
        context.writeId,
        JSON.stringify(
          lines.map((line, index) => ({
            line_number: index + 1,
            description: line.description,
            quantity: line.quantity,
            unit_price: line.unitPrice,
            tax_rate: line.taxRateBasisPoints,
            account_id: accounts.get(line.accountCode),
            net: line.netMinor.toString(),
            tax: line.taxMinor.toString(),
          })),
        ),
      ],
    );
    return { resourceId: row.id, body: toInvoice(row, await readInvoiceLines(tx, [row.id])) };
  },
});

async function requireCustomer(
  tx: Tx,
  invoice: { customerId: string; currency: string },
  context: WriteContext<'customer_not_found' | 'currency_mismatch'>,
) {
  const [customer] = await tx.query<{ currency: string }>(
    'SELECT currency FROM customers WHERE company_id = $1 AND id = $2',
    [context.companyId, invoice.customerId],
  );
  if (customer === undefined) {
    throw context.reject('customer_not_found', `There is no customer ${invoice.customerId}.`, '/customerId');
  }
  if (customer.currency !== invoice.currency) {
    throw context.reject('currency_mismatch', `This customer is invoiced in ${customer.currency}.`, '/currency');
  }
}

/** The account IDs by code; every line needs an income account. */
async function incomeAccounts(
  tx: Tx,
  lines: readonly { accountCode: string }[],
  context: WriteContext<'account_not_usable'>,
) {
  const rows = await tx.query<{ id: string; code: string }>(
    `SELECT id, code FROM accounts WHERE company_id = $1 AND type = 'income' AND code = ANY ($2::text[])`,
    [context.companyId, [...new Set(lines.map((line) => line.accountCode))]],
  );
  const ids = new Map(rows.map((row) => [row.code, row.id]));
  const unusable = lines.findIndex((line) => !ids.has(line.accountCode));
  if (unusable !== -1) {
    const code = lines[unusable]?.accountCode;
    throw context.reject('account_not_usable', `${code} is not an income account.`, `/lines/${unusable}/accountCode`);
  }
  return ids;
}
