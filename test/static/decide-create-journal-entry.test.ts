import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseInput, type SetForm, type Written } from '../../activities/operation.ts';
import { createJournalEntry } from '../../activities/operations/create-journal-entry.ts';
import { decideContext } from '../support/decide-context.ts';

const { decide } = createJournalEntry.set as SetForm;

const account = (isControl = false) => ({ id: 'an-account', type: 'asset', isBank: false, isControl });
const ACCOUNTS = { '1000': account(), '3000': account(), '1100': account(true) };
type Code = keyof typeof ACCOUNTS | '9999';

/** February is closed. */
const stateOf = () => ({
  facts: {
    now: '2026-03-01T12:00:00.000Z',
    today: '2026-03-01',
    closedThrough: '2026-02-28',
    latest: '2026-03-25',
    accounts: new Map(Object.entries(ACCOUNTS)),
  },
  entries: [] as { date: string; lines: { id: string; account: string; amount: string }[] }[],
});

type Request = { readonly date: string; readonly codes: readonly Code[]; readonly metadata?: Record<string, string> };

/** Lines of 10, 20, … on these accounts, and what balances them on 3000. */
function inputOf({ date, codes, metadata }: Request) {
  const lines = codes.map((accountCode, index) => ({ accountCode, amount: 10 * (index + 1), memo: `Line ${index}` }));
  const sum = lines.reduce((total, { amount }) => total + amount, 0);
  const body = { date, description: 'By hand', currency: 'USD', metadata };
  return parseInput(createJournalEntry, {
    params: {},
    body: { ...body, lines: [...lines, { accountCode: '3000', amount: -sum }] },
  });
}

const CONTEXT = decideContext({ operation: 'createJournalEntry' });
const OPEN = '2026-03-01';
const CLOSED = '2026-02-28';
const TOO_LATE = '2026-03-26';

/** The answer's body, or what the rejection says. */
function told(state: unknown, request: Request): Written | { code: string; message: string; pointer?: object } {
  try {
    return decide(state, inputOf(request), CONTEXT);
  } catch (error) {
    const { code, message, pointer } = error as { code: string; message: string; pointer?: object };
    return { code, message, ...(pointer === undefined ? {} : { pointer }) };
  }
}

describe('a manual entry', () => {
  test('is answered as it is posted', () => {
    const state = stateOf();
    const { writeId, rowId } = CONTEXT;
    expect(told(state, { date: OPEN, codes: ['1000'] })).toEqual({
      resourceId: writeId,
      body: {
        id: writeId,
        entryNumber: null,
        date: OPEN,
        kind: 'normal',
        description: 'By hand',
        source: { operation: 'createJournalEntry', writeId },
        reverses: null,
        lines: [
          { id: rowId('journal_lines', 0), accountCode: '1000', amount: 10, currency: 'USD', memo: 'Line 0' },
          { id: rowId('journal_lines', 1), accountCode: '3000', amount: -10, currency: 'USD', memo: null },
        ],
        metadata: {},
        createdAt: state.facts.now,
        postedBy: CONTEXT.userId,
        approvedBy: null,
        requestId: CONTEXT.requestId,
        postedAt: state.facts.now,
      },
    });
    const lines = [
      { id: rowId('journal_lines', 0), account: '1000', amount: '10', currency: 'USD', memo: 'Line 0' },
      { id: rowId('journal_lines', 1), account: '3000', amount: '-10', currency: 'USD', memo: null },
    ];
    const entry = { id: writeId, write_id: writeId, date: OPEN, description: 'By hand', lines, metadata: {} };
    expect(state.entries).toEqual([entry]);
  });

  test('has its metadata in the order in which the database gives it back', () => {
    const metadata = { voucher: '1', é: '2', zz: '3', b: '4', a: '5' };
    const { body } = told(stateOf(), { date: OPEN, codes: ['1000'], metadata }) as Written;
    expect(Object.keys(body['metadata'] as object)).toEqual(['a', 'b', 'zz', 'é', 'voucher']);
  });

  test('is refused for its first line that cannot be posted, whatever stands in the way of it', () => {
    const lineError = (index: number) => ({ in: 'body', pointer: `/lines/${index}/accountCode` });
    expect(told(stateOf(), { date: CLOSED, codes: ['1000', '1100', '9999'] })).toEqual({
      code: 'control_account',
      message: 'Only its own operations post to account 1100.',
      pointer: lineError(1),
    });
    expect(told(stateOf(), { date: CLOSED, codes: ['9999', '1100'] })).toEqual({
      code: 'account_not_usable',
      message: 'There is no account 9999.',
      pointer: lineError(0),
    });
  });

  test('is refused on the last closed day', () => {
    const refusal = {
      code: 'period_closed',
      message: 'The books are closed through 2026-02-28.',
      pointer: { in: 'body', pointer: '/date' },
    };
    expect(told(stateOf(), { date: CLOSED, codes: ['1000'] })).toEqual(refusal);
  });

  test('is refused after the last day that can be posted on, and taken on that day', () => {
    expect(told(stateOf(), { date: TOO_LATE, codes: ['1000'] })).toEqual({
      code: 'date_too_late',
      message: 'The company posts nothing that is dated after 2026-03-25.',
      pointer: { in: 'body', pointer: '/date' },
    });
    expect(told(stateOf(), { date: '2026-03-25', codes: ['1000'] })).not.toHaveProperty('code');
  });

  test('after others is decided as by itself, and leaves nothing when it is refused', () => {
    const request = fc.record({
      date: fc.constantFrom(OPEN, CLOSED, '2026-03-02', TOO_LATE),
      codes: fc.array(fc.constantFrom<Code[]>('1000', '1000', '1000', '3000', '1100', '9999'), {
        minLength: 1,
        maxLength: 5,
      }),
    });
    const property = fc.property(fc.array(request, { minLength: 1, maxLength: 8 }), (requests) => {
      const state = stateOf();
      const posted = requests.filter((one) => {
        const answer = told(state, one);
        expect(answer).toEqual(told(stateOf(), one));
        const bad = one.codes.find((code) => code === '1100' || code === '9999');
        const refusal = bad === '1100' ? 'control_account' : bad === '9999' ? 'account_not_usable' : undefined;
        const ofDate = new Map([
          [CLOSED, 'period_closed'],
          [TOO_LATE, 'date_too_late'],
        ]);
        const expected = refusal ?? ofDate.get(one.date);
        expect('code' in answer ? answer.code : undefined).toBe(expected);
        return expected === undefined;
      });
      expect(state.entries.map(({ date }) => date)).toEqual(posted.map(({ date }) => date));
    });
    fc.assert(property);
  });
});
