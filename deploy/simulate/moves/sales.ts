import { rowId } from '../../../activities/identity.ts';
import { lineNet, taxOn } from '../../../activities/money.ts';
import { CURRENCIES, LONG_CLOSED, type MoveMaker, NOWHERE, type PlannedInvoice } from '../books.ts';

/** Customers, invoices and what becomes of them. Corrections are dated after all that they could correct. */
const CORRECTED = { from: '2026-03-01', to: '2026-03-31' } as const;

const createCustomer: MoveMaker = ({ customers, next }, random, odd) => {
  const known = customers.find(({ reference }) => reference !== undefined);
  if (known?.reference !== undefined && odd(0.05)) {
    const body = { name: 'Taken', externalReference: known.reference };
    return { body, after: [known.step], refused: 'customer_reference_taken' };
  }
  const currency = random.pick(CURRENCIES);
  const reference = random.chance(0.3) ? `CRM-${next()}` : undefined;
  return {
    body: { name: `Customer ${next()}`, currency, ...(reference && { externalReference: reference }) },
    after: [],
    made: (step, id) => customers.push({ id, step, currency, ...(reference && { reference }) }),
  };
};

const createInvoice: MoveMaker = ({ customers, invoices, accounts }, random, odd) => {
  if (customers.length === 0) return undefined;
  const customer = random.pick(customers);
  const income = accounts.filter(({ type }) => type === 'income');
  const account = income.length > 0 && random.chance(0.2) ? random.pick(income) : undefined;
  const lines = Array.from({ length: random.int(1, 4) }, () => ({
    description: 'Work',
    quantity: random.pick(['1', '2', '1.5', '0.25', '33.3333', '12']),
    unitPrice: random.int(50, 20_000),
    taxRateBasisPoints: random.pick([0, 0, 825, 1_900, 700]),
    ...(account && { accountCode: account.code }),
  }));
  const body = {
    customerId: customer.id,
    currency: customer.currency,
    issueDate: random.date('2026-01-10', '2026-02-10'),
    // A few are overdue when reminders are sent.
    dueDate: random.chance(0.1) ? '2026-02-20' : '2026-12-31',
    lines,
  };
  if (odd(0.03)) return { body: { ...body, customerId: NOWHERE }, after: [], refused: 'customer_not_found' };
  if (odd(0.03)) {
    const currency = customer.currency === 'USD' ? 'EUR' : 'USD';
    return { body: { ...body, currency }, after: [customer.step], refused: 'currency_mismatch' };
  }
  const sums = lines.map((line) => {
    const net = lineNet(line.quantity, BigInt(line.unitPrice));
    return { net: Number(net), left: Number(net), tax: Number(taxOn(net, line.taxRateBasisPoints)) };
  });
  const total = sums.reduce((sum, { net, tax }) => sum + net + tax, 0);
  return {
    body,
    after: [customer.step, ...(account ? [account.step] : [])],
    made: (step, id) =>
      invoices.push({ id, step, currency: customer.currency, lines: sums, due: total, total, state: 'draft' }),
  };
};

const finalizeInvoice: MoveMaker = ({ invoices, settings }, random, odd) => {
  const draft = invoices.find(({ state }) => state === 'draft');
  const finalized = invoices.find(({ state }) => state !== 'draft');
  if (odd(0.02)) return { params: { invoiceId: NOWHERE }, body: {}, after: [], refused: 'invoice_not_found' };
  if (finalized && odd(0.03)) {
    return { params: { invoiceId: finalized.id }, body: {}, after: [finalized.step], refused: 'invoice_not_draft' };
  }
  if (draft === undefined) return undefined;
  const params = { invoiceId: draft.id };
  // Or it was finalized by a request whose end the plan left open: then it is no draft.
  if (odd(0.03)) return { params, body: { issueDate: LONG_CLOSED }, after: [draft.step, settings.step] };
  return {
    params,
    body: random.chance(0.2) ? { issueDate: '2026-02-11' } : {},
    after: [draft.step],
    made: (step) => Object.assign(draft, { step, state: 'finalized' }),
  };
};

const createPayment: MoveMaker = ({ invoices, payments, accounts, bankLines }, random, odd) => {
  const payable = due(invoices);
  const invoice = payable.length > 0 ? random.pick(payable) : undefined;
  if (invoice === undefined) return undefined;
  const banks = accounts.filter(({ isBank }) => isBank);
  const bank = banks.length > 0 && random.chance(0.2) ? random.pick(banks) : undefined;
  const bankAccount = bank?.code ?? '1000';
  const amount = random.chance(0.4) ? invoice.due : random.int(1, invoice.due);
  const body = {
    invoiceId: invoice.id,
    amount,
    currency: invoice.currency,
    method: random.pick(['bank_transfer', 'card', 'cash', 'check', 'other']),
    receivedOn: random.date('2026-02-12', '2026-02-28'),
    ...(bank && { bankAccountCode: bank.code }),
  };
  if (odd(0.02)) return { body: { ...body, invoiceId: NOWHERE }, after: [], refused: 'invoice_not_found' };
  // Which of two reasons it meets depends on whether something is due still.
  if (odd(0.05)) return { body: { ...body, amount: invoice.total + 1 }, after: [invoice.step] };
  return {
    body,
    after: [invoice.step, ...(bank ? [bank.step] : [])],
    made(step, id) {
      invoice.due -= amount;
      payments.push({ id, step, currency: invoice.currency, left: amount, bankAccount });
      const line = {
        id: rowId(id, 'journal_lines', 0),
        step,
        account: bankAccount,
        currency: invoice.currency,
        amount,
      };
      bankLines.push({ ...line, matched: false });
    },
  };
};

const createRefund: MoveMaker = ({ payments, bankLines }, random, odd) => {
  const left = payments.filter((payment) => payment.left > 0);
  if (left.length === 0) return undefined;
  const payment = random.pick(left);
  const amount = random.int(1, payment.left);
  const body = { paymentId: payment.id, amount, reason: 'Paid twice', date: random.date(CORRECTED.from, CORRECTED.to) };
  if (odd(0.03)) return { body: { ...body, paymentId: NOWHERE }, after: [], refused: 'payment_not_found' };
  if (odd(0.03)) return { body: { ...body, date: '2026-01-01' }, after: [payment.step] };
  if (odd(0.05)) return { body: { ...body, amount: payment.left + 1 }, after: [payment.step] };
  return {
    body,
    after: [payment.step],
    made(step, id) {
      payment.left -= amount;
      const line = {
        id: rowId(id, 'journal_lines', 1),
        step,
        account: payment.bankAccount,
        currency: payment.currency,
      };
      bankLines.push({ ...line, amount: -amount, matched: false });
    },
  };
};

const createCreditNote: MoveMaker = ({ invoices }, random, odd) => {
  const creditable = due(invoices).filter(({ lines }) => lines.some(({ left }) => left > 0));
  if (creditable.length === 0) return undefined;
  const invoice = random.pick(creditable);
  const number = invoice.lines.findIndex(({ left }) => left > 0) + 1;
  const line = invoice.lines[number - 1];
  if (line === undefined) return undefined;
  // Now and then the whole of what is left, which takes the rest of the tax with it.
  const net = random.chance(0.3) ? line.left : random.int(1, line.left);
  const params = { invoiceId: invoice.id };
  const body = {
    lines: [{ lineNumber: number, net }],
    reason: 'Agreed discount',
    date: random.date(CORRECTED.from, CORRECTED.to),
  };
  if (odd(0.03)) {
    const lines = [{ lineNumber: 99, net: 1 }];
    return { params, body: { ...body, lines }, after: [invoice.step] };
  }
  return {
    params,
    body,
    after: [invoice.step],
    made() {
      line.left -= net;
      // With up to its tax: less may be due than planned, never more.
      invoice.due = Math.max(0, invoice.due - net - Math.ceil(net * 0.2));
    },
  };
};

const voidInvoice: MoveMaker = ({ invoices }, random, odd) => {
  const untouched = due(invoices).filter((invoice) => invoice.due === invoice.total);
  const invoice = untouched.length > 0 ? random.pick(untouched) : undefined;
  const body = { reason: 'Sent to the wrong customer', date: random.date(CORRECTED.from, CORRECTED.to) };
  if (odd(0.05)) return { params: { invoiceId: NOWHERE }, body, after: [], refused: 'invoice_not_found' };
  if (invoice === undefined) return undefined;
  return {
    params: { invoiceId: invoice.id },
    body,
    after: [invoice.step],
    made: (step) => Object.assign(invoice, { step, state: 'void', due: 0 }),
  };
};

const recordInvoiceReminder: MoveMaker = ({ invoices }, random) => {
  const payable = due(invoices);
  if (payable.length === 0) return undefined;
  const invoice = random.pick(payable);
  return { params: { invoiceId: invoice.id }, body: { step: random.int(1, 3) }, after: [invoice.step] };
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

function due(invoices: readonly PlannedInvoice[]): PlannedInvoice[] {
  return invoices.filter((invoice) => invoice.state === 'finalized' && invoice.due > 0);
}
