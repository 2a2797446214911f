import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeId } from '../../activities/identity.ts';
import { parseInput } from '../../activities/operation.ts';
import { type FinalizeInvoiceState, finalizeInvoice } from '../../activities/operations/finalize-invoice.ts';
import type { InvoiceRow } from '../../activities/resources/invoice.ts';
import { decideContext } from '../support/decide-context.ts';

const COMPANY = decideContext().companyId;
const DRAFTS = 4;
const draftId = (draft: number) => writeId(COMPANY, 'createInvoice', `draft-${draft}`);

/** Number 41 was given last, and an invoice of March 8 has the latest date; the books are closed through February. */
function stateOf(): FinalizeInvoiceState {
  const drafts = Array.from({ length: DRAFTS }, (_, draft) => draftOf(draftId(draft)));
  return {
    invoices: new Map(drafts.map((draft) => [draft.id, draft])),
    linesOf: new Map(
      drafts.map(({ id }) => [
        id,
        [lineOf(id, 1, '4000', 500n, 41n), lineOf(id, 2, '4100', 300n, 0n), lineOf(id, 3, '4000', 200n, 0n)],
      ]),
    ),
    closedThrough: '2026-02-28',
    latest: '2026-03-25',
    lastNumber: 41,
    latestDate: '2026-03-08',
    entries: [],
    numbered: [],
  };
}

function decide(state: FinalizeInvoiceState, { draft = 0, body = {}, key = 'one' }: Asked) {
  const input = parseInput(finalizeInvoice, { params: { invoiceId: draftId(draft) }, body });
  return finalizeInvoice.set?.decide(
    state,
    input,
    decideContext({ writeId: writeId(COMPANY, 'finalizeInvoice', key) }),
  );
}

type Asked = { readonly draft?: number; readonly body?: object; readonly key?: string };

describe('finalizeInvoice decides', () => {
  test('the next number, and the entry: receivable, each income account, tax', () => {
    const state = stateOf();
    const written = decide(state, { body: { issueDate: '2026-03-20' } });
    const [entry] = state.entries;
    expect(written?.body).toMatchObject({
      ...{ id: draftId(0), number: 'INV-000042', status: 'finalized', issueDate: '2026-03-20', amountDue: 1041 },
      journalEntryId: entry?.id,
      lines: [{ lineNumber: 1 }, { lineNumber: 2 }, { lineNumber: 3 }],
    });
    expect(written?.eventPayload).toEqual({ number: 'INV-000042' });
    expect(entry).toMatchObject({ date: '2026-03-20', description: `Invoice ${draftId(0)} finalized` });
    expect(entry?.lines.map(({ account, role, amount }) => [account ?? role, amount])).toEqual([
      ['receivable', '1041'],
      ['4000', '-700'],
      ['4100', '-300'],
      ['sales_tax', '-41'],
    ]);
    expect(state.numbered).toMatchObject([{ id: draftId(0), number: 42, journal_entry_id: entry?.id }]);
  });

  test.each([
    { code: 'invoice_not_found', detail: `There is no invoice ${draftId(DRAFTS)}.`, asked: { draft: DRAFTS } },
    {
      code: 'invoice_not_draft',
      detail: 'The invoice is void.',
      asked: { draft: 1, body: { issueDate: '2026-01-01' } },
    },
  ])('$code, before any date', ({ code, detail, asked }) => {
    const voidState = () => {
      const state = stateOf();
      return {
        ...state,
        invoices: new Map([...state.invoices, [draftId(1), { ...draftOf(draftId(1)), status: 'void' }]]),
      };
    };
    const state = voidState() as FinalizeInvoiceState;
    const pointer = { in: 'path', pointer: '/invoiceId' };
    expect(() => decide(state, asked)).toThrow(expect.objectContaining({ code, message: detail, pointer }));
    expect(state).toEqual(voidState());
  });

  test.each([
    {
      ...{ code: 'period_closed', detail: 'The books are closed through 2026-02-28.', issueDate: '2026-02-28' },
      pointer: { in: 'body', pointer: '/issueDate' },
    },
    {
      ...{ code: 'due_before_issue', detail: 'The due date is before the issue date.', issueDate: '2026-04-02' },
      pointer: undefined,
    },
  ])('$code, and takes no number', ({ code, detail, issueDate, pointer }) => {
    const state = stateOf();
    expect(() => decide(state, { body: { issueDate } })).toThrow(
      expect.objectContaining({ code, message: detail, pointer }),
    );
    expect(state).toEqual(stateOf());
  });

  test('date_too_late, whose date is the request’s or the draft’s, and takes no number', () => {
    const late = { code: 'date_too_late', message: 'The company posts nothing that is dated after 2026-03-25.' };
    const state = stateOf();
    expect(() => decide(state, { body: { issueDate: '2026-03-26' } })).toThrow(
      expect.objectContaining({ ...late, pointer: { in: 'body', pointer: '/issueDate' } }),
    );
    expect(state).toEqual(stateOf());
    expect(decide(stateOf(), { body: { issueDate: '2026-03-25' } })?.body).toMatchObject({ issueDate: '2026-03-25' });
  });

  test('by the draft’s own date without another, up to the day on which it is due', () => {
    expect(decide(stateOf(), {})?.body).toMatchObject({ issueDate: '2026-03-10' });
    expect(decide(stateOf(), { body: { issueDate: '2026-03-01' } })?.body).toMatchObject({ issueDate: '2026-03-01' });
    expect(decide({ ...stateOf(), latest: '2026-04-01' }, { body: { issueDate: '2026-04-01' } })?.body).toMatchObject({
      issueDate: '2026-04-01',
    });
  });

  test('a warning where a lower number is dated later, in the set or before it, and else no such member', () => {
    const state = stateOf();
    const warned = ['2026-03-08', '2026-03-07', '2026-03-20', '2026-03-19'].map((issueDate, draft) => {
      const body = decide(state, { draft, body: { issueDate }, key: `key-${draft}` })?.body ?? {};
      return Object.hasOwn(body, 'warnings') ? [issueDate, body['warnings']] : issueDate;
    });
    const warnings = [{ code: 'number_out_of_date_order' }];
    expect(warned).toEqual(['2026-03-08', ['2026-03-07', warnings], '2026-03-20', ['2026-03-19', warnings]]);
    const first = decide({ ...stateOf(), lastNumber: 0, latestDate: null }, { body: { issueDate: '2026-03-01' } });
    expect(first?.body).not.toHaveProperty('warnings');
  });

  test('a set in its order: each draft once, and numbers without a gap whatever is rejected', () => {
    const drawn = fc.record({
      draft: fc.nat(DRAFTS),
      body: fc.constantFrom(
        {},
        { issueDate: '2026-03-20' },
        { issueDate: '2026-02-01' },
        { issueDate: '2026-03-26' },
        { issueDate: '2026-05-01' },
      ),
    });
    fc.assert(
      fc.property(fc.array(drawn, { maxLength: 12 }), (asked) => {
        const state = stateOf();
        const made = asked.flatMap((one, index) => {
          try {
            return decide(state, { ...one, key: `key-${index}` })?.body['number'];
          } catch {
            return [];
          }
        });
        expect(made).toEqual(made.map((_, index) => `INV-0000${42 + index}`));
        expect(state.lastNumber).toBe(41 + made.length);
        expect(state.numbered.map(({ number }) => number)).toEqual(made.map((_, index) => 42 + index));
        expect(new Set(state.numbered.map(({ id }) => id)).size).toBe(made.length);
        const possible = asked.filter(({ draft, body }) => draft < DRAFTS && !isRefused(body));
        expect(made).toHaveLength(new Set(possible.map(({ draft }) => draft)).size);
        for (const { lines } of state.entries) {
          expect(lines.reduce((sum, { amount }) => sum + BigInt(amount), 0n)).toBe(0n);
        }
      }),
    );
  });
});

function isRefused({ issueDate = '2026-03-10' }: { readonly issueDate?: string }): boolean {
  return issueDate < '2026-03-01' || issueDate > '2026-03-25';
}

function draftOf(id: string): InvoiceRow {
  return {
    ...{ id, number: null, customer_id: COMPANY, status: 'draft', currency: 'USD', memo: null, metadata: {} },
    ...{ issue_date: '2026-03-10', due_date: '2026-04-01', created_at: '2026-03-02T09:30:00.000Z' },
    ...{
      subtotal_minor: 1000n,
      tax_minor: 41n,
      total_minor: 1041n,
      tax_rounding: 'line',
      paid_minor: 0n,
      credited_minor: 0n,
      written_off_minor: 0n,
      due_minor: 1041n,
    },
    ...{ voided_on: null, void_reason: null, discarded_on: null, discard_reason: null, journal_entry_id: null },
  };
}

function lineOf(invoice_id: string, line_number: number, account_code: string, net_minor: bigint, tax_minor: bigint) {
  const priced = {
    ...{ description: 'Work', quantity: '1.0000', unit_price_minor: net_minor },
    ...{ discount_thousandths: null, discount_minor: 0n, tax_rate_thousandths: 0 },
  };
  return { invoice_id, line_number, account_code, net_minor, tax_minor, ...priced };
}
