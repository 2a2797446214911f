import { z } from 'zod';
import { amountOfEntry } from '../approvals/amounts.ts';
import { accountCode, currency, date, description, metadata, signedAmount } from '../fields.ts';
import { inStoredOrder } from '../json.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import {
  type EntryOfSet,
  entryOf,
  loadPostingFacts,
  type PostingFacts,
  postEntries,
  requireNotTooLate,
  requireOpenPeriod,
} from '../ledger/post-entries.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { defineSetOperation, type WriteContext } from '../operation.ts';
import { journalEntryResource, toEntry } from '../resources/journal-entry.ts';

const body = z
  .strictObject({
    date: date(),
    description: description(),
    currency: currency(),
    lines: z
      .array(z.strictObject({ accountCode: accountCode(), amount: signedAmount(), memo: description().optional() }))
      .min(2)
      .max(200),
    metadata: metadata().optional(),
  })
  .superRefine(({ lines }, issues) => {
    // 200 amounts of at most 10^13 sum exactly.
    const sum = lines.reduce((total, { amount }) => total + amount, 0);
    if (sum !== 0) issues.addIssue({ code: 'custom', path: ['lines'], message: `must sum to 0, but sum to ${sum}` });
  });

export const createJournalEntry = defineSetOperation({
  name: 'createJournalEntry',
  type: 'financial',
  summary: 'Post a journal entry',
  description:
    'A manual entry of 2 to 200 lines, debit positive and credit negative, that sum to zero. It cannot use the control accounts ' +
    'accounts receivable (1100) and inventory (1200), to which only their own operations post.',
  method: 'POST',
  path: '/api/ledger/entries',
  params: z.strictObject({}),
  body,
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 201,
  resource: journalEntryResource,
  event: 'journal_entry.created',
  effects: { posts: 'always', entry: 'its own lines', dated: '`date`', makes: 'journal_entries' },
  rejections: {
    account_not_usable: { status: 422, title: 'There is no such account', nextAction: 'fix_request' },
    control_account: { status: 422, title: 'Only its own operations post to that account', nextAction: 'fix_request' },
    period_closed: PERIOD_CLOSED,
    date_too_late: DATE_TOO_LATE,
  },
  constraints: { period_closed: 'period_closed', date_too_late: 'date_too_late' },
  examples: [
    {
      name: 'capital',
      summary: 'A capital contribution of the owner',
      params: {},
      body: {
        date: '2026-03-16',
        description: 'Capital contribution',
        currency: 'USD',
        lines: [
          { accountCode: ACCOUNTS.bank, amount: 500_000, memo: 'Wire transfer' },
          { accountCode: ACCOUNTS.equity, amount: -500_000 },
        ],
      },
    },
  ],
  approvalAmount: amountOfEntry,
  summarize: ({ body: entry }) =>
    `createJournalEntry of ${entry.lines.length} lines in ${entry.currency}, dated ${entry.date}`,

  set: {
    async load(tx, companyId, inputs): Promise<State> {
      const codes = inputs.flatMap(({ body: manual }) => manual.lines.map((line) => line.accountCode));
      return { facts: await loadPostingFacts(tx, companyId, codes), entries: [] };
    },

    decide({ facts, entries }, { body: manual }, context) {
      requirePostable(facts, manual.lines, context);
      requireOpenPeriod(facts, manual.date, '/date', context);
      requireNotTooLate(facts, manual.date, '/date', context);
      const entry = entryOf(
        {
          id: context.writeId,
          date: manual.date,
          description: manual.description,
          lines: manual.lines.map(({ accountCode: account, amount, memo }) => ({
            account,
            amountMinor: BigInt(amount),
            currency: manual.currency,
            ...(memo === undefined ? {} : { memo }),
          })),
          metadata: inStoredOrder(manual.metadata),
        },
        context,
      );
      entries.push(entry);
      return { resourceId: entry.id, body: toPostedEntry(entry, manual.lines, facts, context) };
    },

    apply(tx, companyId, { entries }) {
      return entries.length === 0 ? [] : [postEntries(tx, companyId, 'createJournalEntry', entries)];
    },
  },
});

type State = { readonly facts: PostingFacts; readonly entries: EntryOfSet[] };

/** Names the line; the database would refuse it anyway. */
function requirePostable(
  { accounts }: Pick<PostingFacts, 'accounts'>,
  lines: readonly { readonly accountCode: string }[],
  context: WriteContext<'account_not_usable' | 'control_account'>,
): void {
  for (const [index, { accountCode: code }] of lines.entries()) {
    const pointer = `/lines/${index}/accountCode` as const;
    const account = accounts.get(code);
    if (account === undefined) throw context.reject('account_not_usable', `There is no account ${code}.`, pointer);
    if (account.isControl) {
      throw context.reject('control_account', `Only its own operations post to account ${code}.`, pointer);
    }
  }
}

/** The answer's form of an entry that is about to be posted. A request has no lines of zero, which would be left out. */
function toPostedEntry(
  entry: EntryOfSet,
  requested: readonly { readonly accountCode: string }[],
  { now }: PostingFacts,
  { operation, userId, requestId, approvedBy }: WriteContext,
) {
  const posted = [userId, requestId, approvedBy] as const;
  return toEntry(
    {
      ...entry,
      entry_date: entry.date,
      kind: 'normal',
      operation,
      reverses: null,
      created_at: now,
      number: null,
      posted,
    },
    entry.lines.map((line, index) => ({
      ...line,
      entry_id: entry.id,
      account_code: requested[index]?.accountCode ?? '',
      amount_minor: BigInt(line.amount),
    })),
  );
}
