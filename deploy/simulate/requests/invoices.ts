import {
  anyDay,
  type Books,
  CURRENCIES,
  type Invoice,
  isClosed,
  isFarAhead,
  leastSince,
  postingDay,
  sumOf,
  TAX_ROUNDINGS,
} from './books.ts';
import { drawLines, isInRange, linesOf } from './invoice-lines.ts';
import {
  anyId,
  created,
  type OperationModel,
  over,
  refused,
  refusedAnyway,
  uniqueName,
  workingOn,
} from './operation-model.ts';
import { post, postMirrorOf } from './postings.ts';
import type { Random } from './random.ts';

const createCustomer: OperationModel = {
  weight: 5,
  request(books, random) {
    const taken = [...books.customers.values()].flatMap(({ reference }) => reference ?? []);
    const reference = random.chance(0.4) ? uniqueName(books, random, taken, (number) => `CRM-${number}`) : undefined;
    return {
      body: { name: 'Customer', currency: random.pick(CURRENCIES), ...(reference && { externalReference: reference }) },
    };
  },
  answer({ customers }, { body }, { id }) {
    const reference: string | undefined = body.externalReference;
    const isTaken = [...customers.values()].some((one) => reference !== undefined && one.reference === reference);
    // Another change may have freed it meanwhile.
    if (isTaken) return refused(409, 'customer_reference_taken');
    const customer = { currency: body.currency, reference, name: body.name, email: null, metadata: null };
    return created(() => customers.set(id, customer), ...(reference ? [reference] : []));
  },
};

const EARLY_DUE = '2026-02-20';
const DUE = '2026-12-31';

const createInvoice: OperationModel = {
  weight: 11,
  prerequisite: ({ customers }) => (customers.size > 0 ? undefined : 'createCustomer'),
  request(books, random) {
    const { chance, unusual } = random;
    const customerId = anyId(books.customers, random);
    const issueDate = anyDay(books, random);
    return {
      body: {
        customerId,
        currency: unusual(0.03) ? 'EUR' : (books.customers.get(customerId)?.currency ?? 'USD'),
        issueDate,
        // A few are overdue when reminders are sent.
        dueDate: issueDate < EARLY_DUE && chance(0.15) ? EARLY_DUE : DUE,
        lines: drawLines(books, random),
      },
    };
  },
  answer({ customers, accounts, invoices, settings }, { body }, { id }) {
    const lines = linesOf(body.lines, settings.taxRounding);
    const total = sumOf(lines, ({ net, tax }) => net + tax);
    const [one, other] = TAX_ROUNDINGS.map((rounding) => isInRange(body.lines, rounding));
    // The setting may change meanwhile, and a total of 1 may be rounded to nothing in the other way.
    const no = (code: string) => (one === other ? refusedAnyway(422, code) : refused(422, code));
    if (!isInRange(body.lines, settings.taxRounding)) return no('amount_out_of_range');
    const customer = customers.get(body.customerId);
    if (customer === undefined) return no('customer_not_found');
    if (customer.currency !== body.currency) return no('currency_mismatch');
    if (lines.some(({ account }) => accounts.get(account)?.type !== 'income')) return no('account_not_usable');
    const { currency, issueDate, dueDate } = body;
    const untouched = { paid: 0n, credited: 0n, number: undefined, entryId: '', isVoid: false, isDiscarded: false };
    const invoice = { ...untouched, currency, lines, total, issueDate, dueDate };
    return over({ amount: total, currency }).created(() =>
      invoices.set(id, { ...invoice, moved: [], reminders: new Set<number>(), writeOffs: [] }),
    );
  },
};

const finalizeInvoice = workingOn(({ invoices }) => invoices, {
  weight: 11,
  fits: is('draft'),
  madeBy: 'createInvoice',
  notFound: [404, 'invoice_not_found'],
  body(draft, _, books, random) {
    const needsDate = draft !== undefined && isClosed(books, draft.issueDate);
    if (!random.chance(needsDate ? 0.8 : 0.2)) return {};
    return { issueDate: random.unusual(0.1) ? '2027-06-01' : anyDay(books, random) };
  },
  answer(invoice, { target, body }, books, write) {
    if (statusOf(invoice) !== 'draft') return refusedAnyway(409, 'invoice_not_draft');
    const date = body.issueDate ?? invoice.issueDate;
    if (isClosed(books, date)) return refused(409, 'period_closed');
    if (date > invoice.dueDate) return refused(422, 'due_before_issue');
    return over({ amount: invoice.total, currency: invoice.currency }).changed(() => {
      invoice.number = 1 + Math.max(0, ...[...books.invoices.values()].map(({ number }) => number ?? 0));
      invoice.issueDate = date;
      const income = invoice.lines.map(({ account, net }) => [account, -net] as const);
      const tax = sumOf(invoice.lines, (line) => line.tax);
      const lines = [['1100', invoice.total], ...income, ['2100', -tax]] as const;
      invoice.entryId = post(books, { date, currency: invoice.currency, lines }, write);
    }, target);
  },
});

const voidInvoice = workingOn(({ invoices }) => invoices, {
  weight: 3,
  fits: is('finalized'),
  madeBy: 'finalizeInvoice',
  notFound: [404, 'invoice_not_found'],
  body: (invoice, _, books, random) => ({ reason: 'A mistake', date: takingDay(invoice, books, random) }),
  answer(invoice, { target, body }, books) {
    if (statusOf(invoice) !== 'finalized' || invoice.writeOffs.length > 0) return refused(409, 'invoice_not_voidable');
    if (body.date < invoice.issueDate) return refused(422, 'date_before_original');
    if (leastDue(invoice, body.date) < invoice.total) return refused(422, 'as_of_conflict');
    if (isClosed(books, body.date)) return refused(409, 'period_closed');
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    return over({ amount: invoice.total, currency: invoice.currency }).changed(() => {
      invoice.isVoid = true;
      postMirrorOf(books, invoice.entryId, body.date);
    }, target);
  },
});

const recordInvoiceReminder = workingOn(({ invoices }) => invoices, {
  weight: 2,
  fits: isPayable,
  madeBy: 'finalizeInvoice',
  notFound: [404, 'invoice_not_found'],
  body: (_, _id, _books, { nat }) => ({ step: 1 + nat(3) }),
  answer(invoice, { body }) {
    if (!isPayable(invoice)) return refused(409, 'invoice_not_due');
    if (invoice.reminders.has(body.step)) return refused(409, 'reminder_already_recorded');
    return created(() => invoice.reminders.add(body.step));
  },
});

export const INVOICES = { createCustomer, createInvoice, finalizeInvoice, voidInvoice, recordInvoiceReminder };

export function isPayable(invoice: Invoice): boolean {
  return ['finalized', 'partially_paid'].includes(statusOf(invoice));
}

function is(status: string): (invoice: Invoice) => boolean {
  return (invoice) => statusOf(invoice) === status;
}

export function dueOn({ total, paid, credited, writeOffs, isVoid, isDiscarded }: Invoice): bigint {
  return isVoid || isDiscarded ? 0n : total - paid - credited - sumOf(writeOffs, ({ amount }) => amount);
}

/** A day on which something is taken from what is due; of an invoice with a refund now and then the first, before it. */
export function takingDay(invoice: Invoice | undefined, books: Books, random: Random): string {
  const wasRefunded = invoice?.moved.some(({ amount }) => amount > 0n) === true;
  return wasRefunded && random.chance(0.4) ? invoice.issueDate : postingDay(books, random, invoice?.issueDate);
}

/** The least that is due as of any day from that one on. */
export function leastDue({ total, moved }: Invoice, since: string): bigint {
  return leastSince(since, total, moved);
}

/** The most that can become due again from that day on, as of each day; not what is due in all, where a refund is void. */
export function leastRoom({ moved }: Invoice, since: string): bigint {
  return leastSince(
    since,
    0n,
    moved.map(({ date, amount }) => ({ date, amount: -amount })),
  );
}

export function statusOf(invoice: Invoice): string {
  if (invoice.isVoid) return 'void';
  if (invoice.isDiscarded) return 'discarded';
  if (invoice.number === undefined) return 'draft';
  if (dueOn(invoice) === 0n) return invoice.writeOffs.length > 0 ? 'written_off' : 'paid';
  return invoice.paid + invoice.credited > 0n ? 'partially_paid' : 'finalized';
}
