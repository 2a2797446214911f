import { z } from 'zod';
import { DEMO } from '../demo.ts';
import {
  accountCode,
  amount,
  basisPoints,
  currency,
  date,
  description,
  id,
  metadata,
  percent,
  quantity,
  unitPrice,
} from '../fields.ts';
import { inStoredOrder, toJson } from '../json.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { DUE_BEFORE_ISSUE, requireDueOnOrAfterIssue } from '../ledger/due-date.ts';
import { invoiceAmounts, type LineAmounts } from '../ledger/invoice-amounts.ts';
import { lineGross, MAX_AMOUNT_MINOR, type TaxRounding } from '../money.ts';
import { defineSetOperation, type WriteContext } from '../operation.ts';
import { type InvoiceLineRow, type InvoiceRow, invoiceResource, toInvoice } from '../resources/invoice.ts';

const discount = z
  .strictObject({ percent: percent().optional(), amount: amount().optional() })
  .refine(({ percent: share, amount: fixed }) => (share === undefined) !== (fixed === undefined), {
    message: 'must have either percent or amount',
  })
  .meta({ description: 'Either `percent` or `amount`, taken off quantity × unitPrice' });

const line = z
  .strictObject({
    description: description(),
    quantity: quantity(),
    unitPrice: unitPrice(),
    discount: discount.optional(),
    taxRate: percent().optional(),
    taxRateBasisPoints: basisPoints()
      .optional()
      .meta({ description: 'Hundredths of a percent, instead of `taxRate`; 0 without either' }),
    accountCode: accountCode().default(ACCOUNTS.sales),
  })
  .refine(({ taxRate, taxRateBasisPoints }) => taxRate === undefined || taxRateBasisPoints === undefined, {
    path: ['taxRate'],
    message: 'must not be given together with taxRateBasisPoints',
  })
  .refine((asked) => asked.unitPrice >= 0 || asked.discount === undefined, {
    path: ['discount'],
    message: 'must not be given with a negative unitPrice',
  })
  .refine(isDiscountWithinGross, {
    path: ['discount', 'amount'],
    message: 'must not exceed quantity × unitPrice',
  })
  // Without a rate, the request is the one with 0 basis points: as when there was no other way to say it.
  .transform(({ taxRate, taxRateBasisPoints, ...rest }) =>
    taxRate === undefined ? { ...rest, taxRateBasisPoints: taxRateBasisPoints ?? 0 } : { ...rest, taxRate },
  );

const body = z
  .strictObject({
    customerId: id(),
    currency: currency(),
    dueDate: date(),
    issueDate: date().optional(),
    lines: z.array(line).min(1).max(200),
    memo: description().optional(),
    metadata: metadata().optional(),
  })
  .refine((invoice) => invoice.issueDate === undefined || invoice.dueDate >= invoice.issueDate, {
    path: ['dueDate'],
    message: 'must not be before issueDate',
  });

export const createInvoice = defineSetOperation({
  name: 'createInvoice',
  type: 'financial',
  summary: 'Create a draft invoice',
  description:
    'Creates a draft with its totals; nothing is posted until it is finalized. Per line: gross = quantity × unitPrice, net = ' +
    'gross − discount, and tax = net × rate, each rounded half away from zero. With the company’s `taxRounding` `document`, tax ' +
    'is rounded once per rate over the invoice and spread over its lines by largest remainder. A negative `unitPrice` is a ' +
    'discount over the whole invoice. `issueDate` defaults to today in the company’s time zone.',
  method: 'POST',
  path: '/api/invoices',
  params: z.strictObject({}),
  body,
  schemaVersion: 2,
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
    amount_out_of_range: {
      status: 422,
      title: 'The total is outside 1 … 10^13, or the subtotal or a line is out of range',
      nextAction: 'fix_request',
    },
    due_before_issue: DUE_BEFORE_ISSUE,
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
    {
      name: 'invoice-discounts',
      summary: 'A rate of 8.875 %, a discount on a line, and one over the whole invoice',
      params: {},
      body: {
        customerId: DEMO.customerId,
        currency: 'USD',
        issueDate: '2026-03-02',
        dueDate: '2026-04-01',
        lines: [
          {
            description: 'Bookkeeping, March',
            quantity: '12',
            unitPrice: 9500,
            discount: { percent: '12.5' },
            taxRate: '8.875',
          },
          { description: 'Loyal customer', quantity: '1', unitPrice: -5000, taxRate: '8.875' },
        ],
      },
    },
  ],
  summarize: ({ body: invoice }) =>
    `createInvoice in ${invoice.currency} for customer ${invoice.customerId}, ${invoice.lines.length} lines`,

  set: {
    async load(tx, companyId, inputs): Promise<CreateInvoiceState> {
      const [facts] = await tx.query<{
        now: string;
        today: string;
        customers: Record<string, string>;
        accounts: Record<string, string>;
        tax_rounding: TaxRounding;
      }>(
        `SELECT now() AS now, company_today(c.id) AS today, c.tax_rounding,
           (SELECT coalesce(jsonb_object_agg(k.id, k.currency), '{}')
            FROM customers k WHERE k.company_id = c.id AND k.id = ANY ($2::uuid[])) AS customers,
           (SELECT coalesce(jsonb_object_agg(a.code, a.id), '{}')
            FROM accounts a WHERE a.company_id = c.id AND a.type = 'income' AND a.code = ANY ($3::text[])) AS accounts
         FROM companies c WHERE c.id = $1`,
        [
          companyId,
          [...new Set(inputs.map(({ body }) => body.customerId))],
          [...new Set(inputs.flatMap(({ body }) => body.lines.map(({ accountCode }) => accountCode)))],
        ],
      );
      if (facts === undefined) throw new Error('Bug! The company has no row');
      const { now, today, customers, accounts, tax_rounding: taxRounding } = facts;
      return {
        now,
        today,
        taxRounding,
        currencies: new Map(Object.entries(customers)),
        incomeAccounts: new Map(Object.entries(accounts)),
        invoices: [],
      };
    },

    decide(state, { body: invoice }, context) {
      const amounts = invoiceAmounts(invoice.lines, state.taxRounding);
      const subtotalMinor = amounts.reduce((sum, line) => sum + line.netMinor, 0n);
      const taxMinor = amounts.reduce((sum, line) => sum + line.taxMinor, 0n);
      const totalMinor = subtotalMinor + taxMinor;
      requireAmountsInRange({ subtotalMinor, totalMinor, lines: amounts }, context);
      requireCustomer(state, invoice, context);
      const lines = amounts.map((priced, index) => ({
        invoice_id: context.writeId,
        line_number: index + 1,
        description: priced.description,
        quantity: priced.quantity,
        unit_price_minor: BigInt(priced.unitPrice),
        discount_thousandths: priced.discountThousandths,
        discount_minor: priced.discountMinor,
        tax_rate_thousandths: priced.taxThousandths,
        account_code: priced.accountCode,
        account_id: incomeAccount(state, priced.accountCode, index, context),
        net_minor: priced.netMinor,
        tax_minor: priced.taxMinor,
      }));
      const issueDate = invoice.issueDate ?? state.today;
      requireDueOnOrAfterIssue({ dueDate: invoice.dueDate, issueDate }, context);

      const row: InvoiceRow = {
        id: context.writeId,
        number: null,
        customer_id: invoice.customerId,
        status: 'draft',
        currency: invoice.currency,
        issue_date: issueDate,
        due_date: invoice.dueDate,
        memo: invoice.memo ?? null,
        subtotal_minor: subtotalMinor,
        tax_minor: taxMinor,
        total_minor: totalMinor,
        tax_rounding: state.taxRounding,
        paid_minor: 0n,
        credited_minor: 0n,
        written_off_minor: 0n,
        due_minor: totalMinor,
        voided_on: null,
        void_reason: null,
        journal_entry_id: null,
        metadata: inStoredOrder(invoice.metadata),
        created_at: state.now,
      };
      state.invoices.push({ ...row, lines });
      return { resourceId: row.id, body: toInvoice(row, lines) };
    },

    apply(tx, companyId, { invoices }) {
      if (invoices.length === 0) return [];
      return [tx.query('SELECT record_invoices(p_company => $1, p_invoices => $2)', [companyId, toJson(invoices)])];
    },
  },
});

/**
 * Neither customers nor accounts ever change, so that nothing has to be locked. The way of rounding may change: a draft keeps
 * the one with which it was made.
 */
export type CreateInvoiceState = {
  /** The time of the transaction: `created_at` of every row that it inserts. */
  readonly now: string;
  /** In the company's time zone. */
  readonly today: string;
  readonly taxRounding: TaxRounding;
  /** Of the customers, by their IDs. */
  readonly currencies: ReadonlyMap<string, string>;
  /** The IDs by code. */
  readonly incomeAccounts: ReadonlyMap<string, string>;
  readonly invoices: (InvoiceRow & { readonly lines: readonly (InvoiceLineRow & { readonly account_id: string })[] })[];
};

/** Whether the discount, if it is an amount, is at most quantity × unit price. Says nothing of what has other faults. */
function isDiscountWithinGross(asked: {
  readonly quantity: string;
  readonly unitPrice: number;
  readonly discount?: { readonly amount?: number | undefined } | undefined;
}): boolean {
  const fixed = asked.discount?.amount;
  if (fixed === undefined || asked.unitPrice < 0 || !quantity().safeParse(asked.quantity).success) return true;
  return BigInt(fixed) <= lineGross(asked.quantity, BigInt(asked.unitPrice));
}

function requireAmountsInRange(
  {
    subtotalMinor,
    totalMinor,
    lines,
  }: { readonly subtotalMinor: bigint; readonly totalMinor: bigint; readonly lines: readonly LineAmounts[] },
  context: WriteContext<'amount_out_of_range'>,
): void {
  if (totalMinor < 1n || totalMinor > MAX_AMOUNT_MINOR) {
    throw context.reject(
      'amount_out_of_range',
      `The total is ${totalMinor} minor units; it must be 1 to 10^13.`,
      '/lines',
    );
  }
  if (subtotalMinor < 0n || subtotalMinor > MAX_AMOUNT_MINOR) {
    throw context.reject(
      'amount_out_of_range',
      `The subtotal is ${subtotalMinor} minor units; it must be 0 to 10^13.`,
      '/lines',
    );
  }
  // What else a line has, its discount, net and tax, is no larger.
  const index = lines.findIndex(({ grossMinor }) => grossMinor > MAX_AMOUNT_MINOR || grossMinor < -MAX_AMOUNT_MINOR);
  if (index !== -1) {
    throw context.reject('amount_out_of_range', 'quantity × unitPrice is beyond 10^13 minor units.', `/lines/${index}`);
  }
}

function requireCustomer(
  { currencies }: CreateInvoiceState,
  invoice: { readonly customerId: string; readonly currency: string },
  context: WriteContext<'customer_not_found' | 'currency_mismatch'>,
): void {
  const customerCurrency = currencies.get(invoice.customerId);
  if (customerCurrency === undefined) {
    throw context.reject('customer_not_found', `There is no customer ${invoice.customerId}.`, '/customerId');
  }
  if (customerCurrency !== invoice.currency) {
    throw context.reject('currency_mismatch', `This customer is invoiced in ${customerCurrency}.`, '/currency');
  }
}

/** Every line needs one. */
function incomeAccount(
  { incomeAccounts }: CreateInvoiceState,
  code: string,
  index: number,
  context: WriteContext<'account_not_usable'>,
): string {
  const account = incomeAccounts.get(code);
  if (account === undefined) {
    throw context.reject('account_not_usable', `${code} is not an income account.`, `/lines/${index}/accountCode`);
  }
  return account;
}
