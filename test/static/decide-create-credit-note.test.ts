import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rowId } from '../../activities/identity.ts';
import { toCreditableLines } from '../../activities/ledger/creditable-lines.ts';
import { type Input, parseInput } from '../../activities/operation.ts';
import { createCreditNote } from '../../activities/operations/create-credit-note.ts';
import { NUMBER_TO_COME } from '../../activities/resources/document-number.ts';
import type { SetOperation } from '../../activities/write/run-set.ts';
import { decideContext } from '../support/decide-context.ts';
import { outcomeOf } from '../support/outcome-of.ts';

const { decide } = (createCreditNote as SetOperation).set;

const INVOICE = '0e5f5f3c-2f4b-4c39-8d55-6a8f5f1d0a01';
const DRAFT = '0e5f5f3c-2f4b-4c39-8d55-6a8f5f1d0a02';
const VOID = '0e5f5f3c-2f4b-4c39-8d55-6a8f5f1d0a03';
const NONE = '0e5f5f3c-2f4b-4c39-8d55-6a8f5f1d0a04';

const WORK = { account: '4000', net: 500n, tax: 41n };

describe('a credit note', () => {
  test('is refused for the first of all its faults, and a refused one leaves nothing', () => {
    const tooEarly = 'The original is dated 2026-01-20, which is after 2026-01-19.';
    // Each step corrects the fault of the one before; the last one is right.
    const steps: readonly [Partial<Note>, string, string, string | undefined][] = [
      [{ invoiceId: NONE }, 'invoice_not_found', `There is no invoice ${NONE}.`, '/invoiceId'],
      [{ invoiceId: DRAFT }, 'invoice_not_creditable', 'The invoice is draft.', '/invoiceId'],
      [{ invoiceId: VOID }, 'invoice_not_creditable', 'The invoice is void.', '/invoiceId'],
      [{ invoiceId: INVOICE }, 'credit_exceeds_line', '1.00 USD is left of line 2.', '/lines/0/net'],
      [{ lines: '2=100 3=1 1=501' }, 'invoice_line_not_found', 'The invoice has no line 3.', '/lines/1/lineNumber'],
      [{ lines: '2=100 1=501' }, 'credit_exceeds_line', '5.00 USD is left of line 1.', '/lines/1/net'],
      [{ lines: '2=100 1=500' }, 'credit_exceeds_due', 'The note is over 6.41 USD; 5.00 USD is due.', '/lines'],
      [{ lines: '1=400' }, 'date_before_original', tooEarly, '/date'],
      [
        { date: '2026-01-20' },
        'as_of_conflict',
        'The note is over 4.33 USD; 4.32 USD is due as of 2026-01-22.',
        '/date',
      ],
      [{ date: '2026-01-23' }, 'period_closed', 'The books are closed through 2026-01-31.', '/date'],
      [{ date: '2027-03-12' }, 'date_too_late', 'The company posts nothing that is dated after 2027-03-11.', '/date'],
    ];
    // 68 cents of what is due were paid until the 23rd.
    const refunded = [
      { day: '2026-01-22', amount: -68n },
      { day: '2026-01-23', amount: 68n },
    ];
    const fresh = () => stateOf([WORK, { account: '4000', net: 100n, tax: 0n }], 500n, refunded);
    const state = fresh();
    let note: Note = { lines: '2=101 3=1 1=501', date: '2026-01-19' };
    for (const [correction, code, message, pointer] of steps) {
      note = { ...note, ...correction };
      const location = pointer === '/invoiceId' ? 'path' : 'body';
      expect(() => decide(state, inputOf(note), decideContext())).toThrow(
        expect.objectContaining({ code, message, pointer: pointer && { in: location, pointer } }),
      );
      expect(state).toEqual(fresh());
    }
    decide(state, inputOf({ ...note, date: '2026-02-01' }), decideContext());
    expect(state.notes).toHaveLength(1);
  });

  test('is not given for a line with a negative net; for the others, up to what it leaves at their rate', () => {
    const state = stateOf([WORK, { account: '4000', net: -100n, tax: -8n }]);
    expect(() => decide(state, inputOf({ lines: '1=1 2=1' }), decideContext())).toThrow(
      expect.objectContaining({
        code: 'invoice_line_not_creditable',
        pointer: { in: 'body', pointer: '/lines/1/lineNumber' },
      }),
    );
    expect(() => decide(state, inputOf({ lines: '1=401' }), decideContext())).toThrow(
      expect.objectContaining({
        code: 'credit_exceeds_line',
        message: '5.00 USD is left of line 1, but lines with negative amounts leave 4.00 USD at its tax rate.',
        pointer: { in: 'body', pointer: '/lines/0/net' },
      }),
    );
    // 41 × 400 / 500 = 32.8: all that is due.
    expect(decide(state, inputOf({ lines: '1=400' }), decideContext()).body).toMatchObject({ tax: 33, total: 433 });
    expect(state.invoices.get(INVOICE)).toMatchObject({ status: 'paid', due_minor: 0n });
  });

  test('is answered with its row and its lines in their order, and dated today unless it says otherwise', () => {
    const context = decideContext();
    const other = { account: '4100', net: 1_000n, tax: 100n };
    const state = stateOf([other, WORK, other]);
    const written = decide(state, inputOf({ lines: '3=300 1=450 2=20' }), context);
    expect(JSON.stringify(written)).toBe(
      JSON.stringify({
        resourceId: context.writeId,
        body: {
          id: context.writeId,
          number: NUMBER_TO_COME,
          invoiceId: INVOICE,
          currency: 'USD',
          date: '2026-03-10',
          reason: 'Discount',
          lines: [
            { lineNumber: 1, net: 450, tax: 45 },
            { lineNumber: 2, net: 20, tax: 2 },
            { lineNumber: 3, net: 300, tax: 30 },
          ],
          net: 770,
          tax: 77,
          total: 847,
          voidedOn: null,
          voidReason: null,
          journalEntryId: rowId(context.writeId, 'journal_entries', 0),
          createdAt: '2026-03-10T12:00:00.000Z',
        },
      }),
    );
    expect(state.entries[0]?.lines.map(({ account, role, amount }) => `${account ?? role} ${amount}`)).toEqual([
      ...['4100 750', '4000 20', 'sales_tax 77', 'receivable -847'],
    ]);
  });

  test('that credits the rest of a line after others of its set credits the rest of its tax, too', () => {
    const state = stateOf([WORK]);
    const taxes = [200, 200, 100].map(
      (net) => decide(state, inputOf({ lines: `1=${net}` }), decideContext()).body['tax'],
    );
    // 41 × 200 / 500 = 16.4, twice; the rest of 41 is 9, where the share would be 8.
    expect(taxes).toEqual([16, 16, 9]);
    expect(state.invoices.get(INVOICE)).toMatchObject({ status: 'paid', due_minor: 0n });
  });

  test('takes no more of a line than those before it have left, whatever others at its rate have', () => {
    const state = stateOf([WORK, WORK]);
    decide(state, inputOf({ lines: '1=200' }), decideContext());
    expect(() => decide(state, inputOf({ lines: '1=301' }), decideContext())).toThrow(
      expect.objectContaining({ code: 'credit_exceeds_line', message: '3.00 USD is left of line 1.' }),
    );
  });

  test('is not taken when its net is due and its tax is not', () => {
    expect(() => decide(stateOf([WORK], 540n), inputOf({ lines: '1=500' }), decideContext())).toThrow(
      expect.objectContaining({ code: 'credit_exceeds_due' }),
    );
  });

  test('gets in a set what it would get after the others of it; each entry balances', () => {
    const line = fc
      .record({
        account: fc.constantFrom('4000', '4100'),
        sign: fc.constantFrom(1n, 1n, 1n, -1n),
        net: fc.bigInt({ min: 1n, max: 40n }),
        tax: fc.bigInt({ min: 0n, max: 9n }),
        rate: fc.constantFrom(20_000, 20_000, 8_875),
      })
      .map(({ sign, net, tax, ...more }) => ({ ...more, net: sign * net, tax: sign * tax }));
    const part = fc.record({ number: fc.integer({ min: 1, max: 3 }), net: fc.integer({ min: 1, max: 20 }) });
    const note = fc
      .uniqueArray(part, { minLength: 1, selector: ({ number }) => number })
      .map((parts) => parts.map(({ number, net }) => `${number}=${net}`).join(' '));
    fc.assert(
      fc.property(
        fc.array(line, { minLength: 2, maxLength: 3 }),
        fc.bigInt({ min: 1n, max: 120n }),
        fc.array(note, { maxLength: 20 }),
        (lines, dueMinor, notes) => {
          const set = stateOf(lines, dueMinor);
          for (const input of notes.map((one) => inputOf({ lines: one }))) {
            const alone = stateAfter(set.notes, lines, dueMinor);
            const before = set.notes.length;
            const [inSet, byItself] = [set, alone].map((state) =>
              outcomeOf(() => decide(state, input, decideContext())),
            );
            expect(inSet).toBe(byItself);
            expect(set.notes.slice(before)).toEqual(alone.notes);
            expect(set.lines.get(INVOICE)).toEqual(alone.lines.get(INVOICE));
            expect(set.invoices.get(INVOICE)?.due_minor).toBe(alone.invoices.get(INVOICE)?.due_minor);
          }
          for (const { netMinor, left, leftAtRate } of set.lines.get(INVOICE)?.values() ?? []) {
            expect(netMinor < 0n || left.netMinor > 0n || left.taxMinor === 0n || leftAtRate.taxMinor === 0n).toBe(
              true,
            );
          }
          for (const entry of set.entries) {
            expect(entry.lines.reduce((sum, { amount }) => sum + BigInt(amount), 0n)).toBe(0n);
          }
        },
      ),
    );
  });
});

/** Three invoices with these lines, of which these notes have credited something; only one of them can be credited. */
function stateOf(
  lines: readonly Line[],
  dueMinor = lines.reduce((sum, { net, tax }) => sum + net + tax, 0n),
  later: readonly { readonly day: string; readonly amount: bigint }[] = [],
  notes: readonly CreditedNote[] = [],
) {
  const statuses = Object.entries({ [INVOICE]: 'finalized', [DRAFT]: 'draft', [VOID]: 'void' });
  const invoiceOf = ([id, status]: [string, string]) =>
    [
      id,
      { id, status, currency: 'USD', issue_date: '2026-01-20', due_minor: dueMinor, written_off_minor: 0n, later },
    ] as const;
  const credited = notes.flatMap((note) => note.lines);
  const rows = lines.map(({ account, net, tax, rate = 8_250 }, index) => {
    const parts = credited.filter(({ line_number }) => line_number === index + 1);
    return {
      line_number: index + 1,
      account,
      tax_rate_thousandths: rate,
      net_minor: net,
      tax_minor: tax,
      credited_net_minor: parts.reduce((sum, { net_minor }) => sum + net_minor, 0n),
      credited_tax_minor: parts.reduce((sum, { tax_minor }) => sum + tax_minor, 0n),
    };
  });
  return {
    invoices: new Map(statuses.map(invoiceOf)),
    lines: new Map(statuses.map(([id]) => [id, toCreditableLines(rows)])),
    facts: {
      now: '2026-03-10T12:00:00.000Z',
      today: '2026-03-10',
      closedThrough: '2026-01-31',
      latest: '2027-03-11',
      accounts: new Map(),
    },
    notes: [] as CreditedNote[],
    entries: [] as { readonly lines: readonly { account: string | undefined; role?: string; amount: string }[] }[],
  };
}

/** The rate is in thousandths of a percent. */
type Line = { readonly account: string; readonly net: bigint; readonly tax: bigint; readonly rate?: number };

type CreditedNote = {
  readonly total_minor: bigint;
  readonly lines: readonly { readonly line_number: number; readonly net_minor: bigint; readonly tax_minor: bigint }[];
};

/** As it would be loaded after these notes. */
function stateAfter(notes: readonly CreditedNote[], lines: readonly Line[], dueMinor: bigint) {
  const leftDue = notes.reduce((due, note) => due - note.total_minor, dueMinor);
  return stateOf(lines, leftDue, [], notes);
}

/** Of `lines` such as `2=100 1=500`: the number of each line and the net that is credited of it. */
function inputOf({ invoiceId = INVOICE, lines, ...body }: Note): Input {
  const parts = lines.split(' ').map((part) => part.split('=').map(Number));
  return parseInput(createCreditNote, {
    params: { invoiceId },
    body: { lines: parts.map(([lineNumber, net]) => ({ lineNumber, net })), reason: 'Discount', ...body },
  });
}

type Note = { readonly invoiceId?: string; readonly lines: string; readonly date?: string };
