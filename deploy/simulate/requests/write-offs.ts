import { ACCOUNTS } from '../../../activities/ledger/accounts.ts';
import { divide, type Invoice, isClosed, isFarAhead, postingDay, sumOf } from './books.ts';
import { dueOn, isPayable, leastDue, leastRoom, takingDay } from './invoices.ts';
import { over, refused, workingOn } from './operation-model.ts';
import { partOf } from './payments.ts';
import { post, postMirrorOf } from './postings.ts';

/** Of every company that the requests are made for. */
const BAD_DEBTS = '6800';

const writeOffInvoice = workingOn(({ invoices }) => invoices, {
  weight: 4,
  fits: isPayable,
  madeBy: 'finalizeInvoice',
  notFound: [404, 'invoice_not_found'],
  body(invoice, _, books, random) {
    const { chance, unusual } = random;
    return {
      amount: partOf(invoice ? dueOn(invoice) : 100n, random),
      reason: 'Insolvent',
      date: unusual(0.1) ? postingDay(books, random) : takingDay(invoice, books, random),
      ...(chance(0.6) && { taxRelief: chance(0.8) }),
    };
  },
  answer(invoice, { target, body }, books, write) {
    if (!isPayable(invoice)) return refused(409, 'invoice_not_due');
    const { date, taxRelief = false } = body;
    const amount = BigInt(body.amount);
    if (amount > dueOn(invoice)) return refused(422, 'write_off_exceeds_due');
    if (date < invoice.issueDate) return refused(422, 'date_before_invoice');
    if (amount > leastDue(invoice, date)) return refused(422, 'as_of_conflict');
    if (isClosed(books, date)) return refused(409, 'period_closed');
    if (isFarAhead(date)) return refused(422, 'date_too_late');
    return over({ amount, currency: invoice.currency }).changed(() => {
      const tax = shareOf(invoice, amount);
      const relief = taxRelief ? tax : 0n;
      const lines = [
        [BAD_DEBTS, amount - relief],
        [ACCOUNTS.salesTax, relief],
        [ACCOUNTS.receivable, -amount],
      ] as const;
      const entryId = post(books, { date, currency: invoice.currency, lines }, write);
      invoice.writeOffs.push({ amount, tax, date, entryId });
      invoice.moved.push({ date, amount: -amount });
    }, target);
  },
});

const recoverWriteOff = workingOn(({ invoices }) => invoices, {
  weight: 3,
  fits: ({ writeOffs }) => writeOffs.length > 0,
  madeBy: 'writeOffInvoice',
  notFound: [404, 'invoice_not_found'],
  body: (invoice, _, books, random) => ({
    reason: 'Paid after all',
    date: random.unusual(0.1)
      ? postingDay(books, random)
      : postingDay(books, random, invoice?.writeOffs.at(-1)?.date ?? invoice?.issueDate),
  }),
  answer(invoice, { target, body: { date } }, books) {
    const latest = invoice.writeOffs.at(-1);
    if (latest === undefined) return refused(409, 'nothing_written_off');
    if (date < latest.date) return refused(422, 'date_before_original');
    if (latest.amount > leastRoom(invoice, date)) return refused(422, 'as_of_conflict');
    if (isClosed(books, date)) return refused(409, 'period_closed');
    if (isFarAhead(date)) return refused(422, 'date_too_late');
    return over({ amount: latest.amount, currency: invoice.currency }).changed(() => {
      invoice.writeOffs.pop();
      invoice.moved.push({ date, amount: latest.amount });
      postMirrorOf(books, latest.entryId, date);
    }, target);
  },
});

export const WRITE_OFFS = { writeOffInvoice, recoverWriteOff };

/** What all write-offs that stand have of the tax together, this one included, less what the others have. */
function shareOf({ total, lines, writeOffs }: Invoice, amount: bigint): bigint {
  const all = amount + sumOf(writeOffs, (one) => one.amount);
  return divide(sumOf(lines, ({ tax }) => tax) * all, total) - sumOf(writeOffs, ({ tax }) => tax);
}
