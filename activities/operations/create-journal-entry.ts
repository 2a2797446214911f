import { z } from 'zod';
import type { Tx } from '../database.ts';
import { accountCode, currency, date, description, metadata, signedAmount } from '../fields.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { PERIOD_CLOSED, postEntry } from '../ledger/post-entry.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import { journalEntryResource, readPostedEntry } from '../resources/journal-entry.ts';

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

export const createJournalEntry = defineOperation({
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
  },
  constraints: { period_closed: 'period_closed' },
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
  summarize: ({ body: entry }) =>
    `createJournalEntry of ${entry.lines.length} lines in ${entry.currency}, dated ${entry.date}`,

  async write(tx, { body: entry }, context) {
    await requirePostable(tx, entry.lines, context);
    await postEntry(
      tx,
      {
        id: context.writeId,
        date: entry.date,
        description: entry.description,
        lines: entry.lines.map(({ accountCode: account, amount, memo }) => ({
          account,
          amountMinor: BigInt(amount),
          currency: entry.currency,
          ...(memo === undefined ? {} : { memo }),
        })),
        ...(entry.metadata === undefined ? {} : { metadata: entry.metadata }),
      },
      context,
    );
    return { resourceId: context.writeId, body: await readPostedEntry(tx, context.writeId) };
  },
});

/** Names the line; the database would refuse it anyway. */
async function requirePostable(
  tx: Tx,
  lines: readonly { accountCode: string }[],
  context: WriteContext<'account_not_usable' | 'control_account'>,
): Promise<void> {
  const rows = await tx.query<{ code: string; is_control: boolean }>(
    'SELECT code, is_control FROM accounts WHERE company_id = $1 AND code = ANY ($2::text[])',
    [context.companyId, [...new Set(lines.map((line) => line.accountCode))]],
  );
  const isControl = new Map(rows.map((row) => [row.code, row.is_control]));
  for (const [index, { accountCode: code }] of lines.entries()) {
    const pointer = `/lines/${index}/accountCode` as const;
    if (!isControl.has(code)) throw context.reject('account_not_usable', `There is no account ${code}.`, pointer);
    if (isControl.get(code)) {
      throw context.reject('control_account', `Only its own operations post to account ${code}.`, pointer);
    }
  }
}
