import {
  CHANGED,
  CREATED,
  DATES,
  half,
  type Invoice,
  isClosed,
  MAX,
  type Model,
  type ModelOperation,
  NOTHING,
  no,
  post,
  postMirror,
} from './model.ts';

const createCustomer: ModelOperation = {
  weight: 2,
  request: (_, { nat, pick }) => ({
    body: {
      name: 'Customer',
      currency: pick(['USD', 'USD', 'USD', 'JPY', 'KWD']),
      ...(nat(3) === 0 && { externalReference: `R${nat(3)}` }),
    },
  }),
  expect({ customers }, { body }, { id }) {
    const reference: string | undefined = body.externalReference;
    const taken = [...customers.values()].some((one) => reference !== undefined && one.reference === reference);
    if (taken) return no(409, 'customer_reference_taken');
    customers.set(id, { currency: body.currency, reference });
    return CREATED;
  },
};

const createInvoice: ModelOperation = {
  weight: 6,
  first: ({ customers }) => (customers.size > 0 ? undefined : 'createCustomer'),
  request({ customers }, { nat, pick, any }) {
    const customerId = any(customers);
    return {
      body: {
        customerId,
        currency: nat(12) === 0 ? 'EUR' : (customers.get(customerId)?.currency ?? 'USD'),
        issueDate: pick(DATES),
        dueDate: '2026-12-31',
        lines: Array.from({ length: 1 + nat(3) }, () => ({
          description: 'Work',
          quantity: pick(['1', '0.5', '2.25', '33.3333']),
          unitPrice: nat(20) === 0 ? 9_999_999_999_999 : nat(300),
          taxRateBasisPoints: pick([0, 825, 1, 10_000, 1_900]),
          ...(nat(6) === 0 && { accountCode: pick(['4000', '4100', '1000']) }),
        })),
      },
    };
  },
  expect({ customers, accounts, invoices }, { body }, { id }) {
    type AskedLine = { quantity: string; unitPrice: number; taxRateBasisPoints: number; accountCode?: string };
    const lines = body.lines.map((line: AskedLine) => {
      const [whole = '', places = ''] = line.quantity.split('.');
      const net = half(BigInt(whole + places.padEnd(4, '0')) * BigInt(line.unitPrice), 10_000n);
      const tax = half(net * BigInt(line.taxRateBasisPoints), 10_000n);
      return { net, tax, account: line.accountCode ?? '4000', creditedNet: 0n, creditedTax: 0n };
    }) as Invoice['lines'];
    const total = lines.reduce((sum, { net, tax }) => sum + net + tax, 0n);
    if (total < 1n || total > MAX) return no(422, 'amount_out_of_range');
    const customer = customers.get(body.customerId);
    if (customer === undefined) return no(422, 'customer_not_found');
    if (customer.currency !== body.currency) return no(422, 'currency_mismatch');
    if (lines.some(({ account }) => accounts.get(account)?.type !== 'income')) return no(422, 'account_not_usable');
    const untouched = { paid: 0n, credited: 0n, number: undefined, isVoid: false, steps: new Set<number>() };
    invoices.set(id, { ...untouched, currency: body.currency, lines, total, issueDate: body.issueDate });
    return CREATED;
  },
};

const finalizeInvoice: ModelOperation = {
  weight: 6,
  first: (model) => (has(model, 'draft') ? undefined : 'createInvoice'),
  request: ({ invoices }, { nat, pick, any }) => ({
    params: { invoiceId: any(invoices, is('draft')) },
    body: nat(3) === 0 ? { issueDate: pick([...DATES, '2027-06-01']) } : {},
  }),
  expect(model, { params, body }, context) {
    const invoice = model.invoices.get(params?.['invoiceId'] ?? '');
    if (invoice === undefined) return no(404, 'invoice_not_found');
    if (invoice.number !== undefined) return no(409, 'invoice_not_draft');
    const date = body.issueDate ?? invoice.issueDate;
    if (isClosed(model, date)) return no(409, 'period_closed');
    if (date > '2026-12-31') return no(422, 'due_before_issue');
    invoice.number = 1 + Math.max(0, ...[...model.invoices.values()].map(({ number }) => number ?? 0));
    invoice.issueDate = date;
    const tax = invoice.lines.reduce((sum, line) => sum + line.tax, 0n);
    const income = invoice.lines.map(({ account, net }) => [account, -net] as const);
    const lines = [['1100', invoice.total], ...income, ['2100', -tax]] as const;
    post(model, { id: entryOf(params?.['invoiceId']), date, currency: invoice.currency, lines }, context);
    return CHANGED;
  },
};

const createPayment: ModelOperation = {
  weight: 8,
  first: (model) => (has(model, 'finalized', 'partially_paid') ? undefined : 'finalizeInvoice'),
  request({ invoices }, { nat, pick, any }) {
    const invoiceId = any(invoices, is('finalized', 'partially_paid'));
    const invoice = invoices.get(invoiceId);
    const due = invoice ? dueOn(invoice) : 100n;
    const part = pick([due / 3n, due / 2n, due, due, due + 1n]);
    return {
      body: {
        invoiceId,
        amount: Number(part > 0n ? part : 1n),
        currency: nat(12) === 0 ? 'EUR' : (invoice?.currency ?? 'USD'),
        method: 'other',
        receivedOn: pick(DATES),
        ...(nat(6) === 0 && { bankAccountCode: pick(['1010', '3000']) }),
      },
    };
  },
  expect(model, { body }, context) {
    const invoice = model.invoices.get(body.invoiceId);
    if (invoice === undefined) return no(422, 'invoice_not_found');
    if (!['finalized', 'partially_paid'].includes(statusOf(invoice))) return no(409, 'invoice_not_payable');
    if (invoice.currency !== body.currency) return no(422, 'currency_mismatch');
    const amount = BigInt(body.amount);
    if (amount > dueOn(invoice)) return no(422, 'payment_exceeds_outstanding');
    const bank = body.bankAccountCode ?? '1000';
    if (model.accounts.get(bank)?.isBank !== true) return no(422, 'account_not_usable');
    if (isClosed(model, body.receivedOn)) return no(409, 'period_closed');
    invoice.paid += amount;
    model.payments.set(context.id, { invoice, amount, refunded: 0n, on: body.receivedOn, bank });
    const lines = [[bank, amount] as const, ['1100', -amount] as const];
    post(model, { date: body.receivedOn, currency: body.currency, lines }, context);
    return CREATED;
  },
};

const createRefund: ModelOperation = {
  weight: 3,
  first: ({ payments }) => (payments.size > 0 ? undefined : 'createPayment'),
  request({ payments }, { pick, any }) {
    const paymentId = any(payments);
    const payment = payments.get(paymentId);
    const left = payment ? payment.amount - payment.refunded : 1n;
    const amount = pick([left / 2n, left, left + 1n]);
    return { body: { paymentId, amount: Number(amount > 0n ? amount : 1n), reason: 'Too much', date: pick(DATES) } };
  },
  expect(model, { body }, context) {
    const payment = model.payments.get(body.paymentId);
    if (payment === undefined) return no(422, 'payment_not_found');
    const amount = BigInt(body.amount);
    if (amount > payment.amount - payment.refunded) return no(422, 'refund_exceeds_payment');
    if (body.date < payment.on) return no(422, 'date_before_original');
    if (isClosed(model, body.date)) return no(409, 'period_closed');
    payment.refunded += amount;
    payment.invoice.paid -= amount;
    const lines = [['1100', amount] as const, [payment.bank, -amount] as const];
    post(model, { date: body.date, currency: payment.invoice.currency, lines }, context);
    return CREATED;
  },
};

const createCreditNote: ModelOperation = {
  weight: 4,
  first: (model) => (has(model, 'finalized', 'partially_paid') ? undefined : 'finalizeInvoice'),
  request({ invoices }, { nat, pick, any }) {
    const invoiceId = any(invoices, is('finalized', 'partially_paid'));
    const lines = invoices.get(invoiceId)?.lines ?? [];
    const number = 1 + nat(Math.max(1, lines.length + (nat(8) === 0 ? 1 : 0)));
    const line = lines[number - 1];
    const left = line ? line.net - line.creditedNet : 1n;
    const net = pick([left / 3n, left / 2n, left, left, left + 1n]);
    const asked = { lineNumber: number, net: Number(net > 0n ? net : 1n) };
    return { params: { invoiceId }, body: { lines: [asked], reason: 'Agreed', date: pick(DATES) } };
  },
  expect(model, { params, body }, context) {
    const invoice = model.invoices.get(params?.['invoiceId'] ?? '');
    if (invoice === undefined) return no(404, 'invoice_not_found');
    if (['draft', 'void'].includes(statusOf(invoice))) return no(409, 'invoice_not_creditable');
    const [{ lineNumber, net: asked }] = body.lines;
    const line = invoice.lines[lineNumber - 1];
    if (line === undefined) return no(422, 'invoice_line_not_found');
    const net = BigInt(asked);
    if (net > line.net - line.creditedNet) return no(422, 'credit_exceeds_line');
    const taxLeft = line.tax - line.creditedTax;
    const share = half(line.tax * net, line.net);
    const tax = net === line.net - line.creditedNet || share > taxLeft ? taxLeft : share;
    if (net + tax > dueOn(invoice)) return no(422, 'credit_exceeds_due');
    if (body.date < invoice.issueDate) return no(422, 'date_before_original');
    if (isClosed(model, body.date)) return no(409, 'period_closed');
    line.creditedNet += net;
    line.creditedTax += tax;
    invoice.credited += net + tax;
    const lines = [[line.account, net] as const, ['2100', tax] as const, ['1100', -net - tax] as const];
    post(model, { date: body.date, currency: invoice.currency, lines }, context);
    return CREATED;
  },
};

const voidInvoice: ModelOperation = {
  weight: 2,
  first: (model) => (has(model, 'finalized') ? undefined : 'finalizeInvoice'),
  request: ({ invoices }, { pick, any }) => ({
    params: { invoiceId: any(invoices, is('finalized')) },
    body: { reason: 'A mistake', date: pick(DATES) },
  }),
  expect(model, { params, body }) {
    const invoice = model.invoices.get(params?.['invoiceId'] ?? '');
    if (invoice === undefined) return no(404, 'invoice_not_found');
    if (statusOf(invoice) !== 'finalized') return no(409, 'invoice_not_voidable');
    if (body.date < invoice.issueDate) return no(422, 'date_before_original');
    if (isClosed(model, body.date)) return no(409, 'period_closed');
    const entry = model.entries.get(entryOf(params?.['invoiceId']));
    if (entry === undefined) throw new Error('A finalized invoice without its entry in the model');
    invoice.isVoid = true;
    postMirror(model, entry);
    return CHANGED;
  },
};

const recordInvoiceReminder: ModelOperation = {
  weight: 2,
  first: (model) => (has(model, 'finalized', 'partially_paid') ? undefined : 'finalizeInvoice'),
  request: ({ invoices }, { nat, any }) => ({
    params: { invoiceId: any(invoices, is('finalized', 'partially_paid')) },
    body: { step: 1 + nat(2) },
  }),
  expect({ invoices }, { params, body }) {
    const invoice = invoices.get(params?.['invoiceId'] ?? '');
    if (invoice === undefined) return no(404, 'invoice_not_found');
    if (!['finalized', 'partially_paid'].includes(statusOf(invoice))) return no(409, 'invoice_not_due');
    if (invoice.steps.has(body.step)) return no(409, 'reminder_already_recorded');
    invoice.steps.add(body.step);
    return CREATED;
  },
};

export const SALES = {
  createCustomer,
  createInvoice,
  finalizeInvoice,
  createPayment,
  createRefund,
  createCreditNote,
  voidInvoice,
  recordInvoiceReminder,
};

/** The model names the entry of an invoice by the invoice: nobody else does. */
function entryOf(invoiceId: string | undefined): string {
  return `of invoice ${invoiceId ?? NOTHING}`;
}

function has({ invoices }: Model, ...statuses: string[]): boolean {
  return [...invoices.values()].some(is(...statuses));
}

function is(...statuses: string[]): (invoice: Invoice) => boolean {
  return (invoice) => statuses.includes(statusOf(invoice));
}

export function dueOn({ total, paid, credited, isVoid }: Invoice): bigint {
  return isVoid ? 0n : total - paid - credited;
}

export function statusOf(invoice: Invoice): string {
  if (invoice.isVoid) return 'void';
  if (invoice.number === undefined) return 'draft';
  if (dueOn(invoice) === 0n) return 'paid';
  return invoice.paid + invoice.credited > 0n ? 'partially_paid' : 'finalized';
}
