import { z } from 'zod';
import { APPROVER_ROLES } from '../../activities/approvals/policies.ts';
import { accessSchema } from '../../activities/resources/access.ts';
import { bankTransactionSchema } from '../../activities/resources/bank-transaction.ts';
import { creditNoteSchema } from '../../activities/resources/credit-note.ts';
import { eventSchema } from '../../activities/resources/event.ts';
import { invoiceSchema } from '../../activities/resources/invoice.ts';
import { attribution, journalEntrySchema } from '../../activities/resources/journal-entry.ts';
import {
  calendarDate,
  currencyCode,
  instant,
  moneySum,
  resourceId,
  signedMoney,
} from '../../activities/resources/members.ts';
import { paymentSchema } from '../../activities/resources/payment.ts';
import { refundSchema } from '../../activities/resources/refund.ts';
import { settingsSchema } from '../../activities/resources/settings.ts';
import { writeOffSchema } from '../../activities/resources/write-off.ts';
import { MAX_LISTED } from '../reads/bank-reconciliation.ts';
import { writeProofSchema } from './proof-schema.ts';
import { securityEventSchema } from './security-event-schema.ts';

/** Schemas that only reads return, and no operation. Members may be added but never removed. */

const source = () => z.object({ operation: z.string(), writeId: resourceId() });

const accountLineSchema = z.object({
  id: resourceId(),
  entryId: resourceId(),
  date: calendarDate(),
  description: z.string(),
  source: source(),
  amount: moneySum(),
  currency: currencyCode(),
  memo: z.string().nullable(),
  balance: moneySum(),
  ...attribution,
});

/** One side of a trial balance. */
const side = () => moneySum('never negative');

const trialBalanceSchema = z.object({
  asOf: calendarDate(),
  items: z.array(
    z.object({
      accountCode: z.string(),
      name: z.string(),
      currency: currencyCode(),
      debit: side(),
      credit: side(),
    }),
  ),
  totals: z.array(z.object({ currency: currencyCode(), debit: side(), credit: side() })),
});

const amountsOfAccounts = (types: readonly ['asset', 'liability', 'equity'] | readonly ['income', 'expense']) =>
  z.array(
    z.object({
      accountCode: z.string(),
      name: z.string(),
      type: z.enum(types),
      currency: currencyCode(),
      amount: moneySum('positive on the side of the account’s type'),
    }),
  );

const result = () => moneySum('income less expenses: negative for a loss');

const profitAndLossSchema = z.object({
  from: calendarDate().nullable().meta({ description: 'Null: since the first entry' }),
  to: calendarDate(),
  items: amountsOfAccounts(['income', 'expense']),
  totals: z.array(
    z.object({ currency: currencyCode(), income: moneySum('a sum'), expense: moneySum('a sum'), result: result() }),
  ),
});

const balanceSheetSchema = z.object({
  asOf: calendarDate(),
  items: amountsOfAccounts(['asset', 'liability', 'equity']),
  totals: z.array(
    z.object({
      currency: currencyCode(),
      assets: moneySum('liabilities, equity and result together'),
      liabilities: moneySum('a sum'),
      equity: moneySum('a sum'),
      result: moneySum('of the years that are not closed as of that day'),
    }),
  ),
});

/** Negative where more had been paid or credited by that day than was due. */
const openAmount = () => moneySum('negative where more was paid than was due');

const agedReceivablesSchema = z.object({
  asOf: calendarDate(),
  items: z.array(
    z.object({
      customerId: resourceId(),
      currency: currencyCode(),
      notDue: openAmount(),
      days1to30: openAmount(),
      days31to60: openAmount(),
      days61to90: openAmount(),
      over90: openAmount(),
    }),
  ),
});

const salesTaxSchema = z.object({
  from: calendarDate().nullable().meta({ description: 'null: since the first entry' }),
  to: calendarDate(),
  items: z.array(
    z.object({
      rate: z.string().meta({ description: 'Percent' }),
      currency: currencyCode(),
      base: moneySum('what invoices charged the tax on, less what was voided'),
      tax: moneySum('what invoices charged, less what was voided'),
      creditedBase: moneySum('what credit notes took off the base, less what was voided'),
      creditedTax: moneySum('what credit notes took off the tax, less what was voided'),
      writtenOffTax: moneySum('what write-offs took off the tax, less what was recovered'),
    }),
  ),
  totals: z.array(
    z.object({
      currency: currencyCode(),
      tax: moneySum('tax − creditedTax − writtenOffTax of all rates'),
      ledger: moneySum(
        'what the operations of these documents posted to sales tax payable, credit positive; equal to tax whenever the books are right',
      ),
      otherPostings: moneySum(
        'what other entries posted there, credit positive, such as the payment of the tax: with ledger, the movement of the account',
      ),
    }),
  ),
});

const bankReconciliationSchema = z.object({
  accountCode: z.string(),
  asOf: calendarDate(),
  items: z.array(
    z.object({
      currency: currencyCode(),
      bankBalance: moneySum('all bank transactions'),
      outstanding: z
        .array(
          accountLineSchema.pick({
            id: true,
            entryId: true,
            date: true,
            description: true,
            source: true,
            amount: true,
            currency: true,
            memo: true,
          }),
        )
        .meta({
          description: `Lines of the books that are not matched as of the day; the ${MAX_LISTED} oldest`,
        }),
      outstandingCount: z.int().min(0),
      outstandingTotal: moneySum(
        'of all of them, with the signs of the books: a cheque of 300 that the bank has not paid yet counts as −300',
      ),
      inTransit: z
        .array(
          bankTransactionSchema.pick({
            id: true,
            bankReference: true,
            date: true,
            amount: true,
            currency: true,
            description: true,
          }),
        )
        .meta({ description: `Bank transactions that are not reconciled as of the day; the ${MAX_LISTED} oldest` }),
      inTransitCount: z.int().min(0),
      inTransitTotal: moneySum('of all of them'),
      booksBalance: moneySum('all lines of the account, debit positive'),
      difference: moneySum(
        'booksBalance − (bankBalance + outstandingTotal − inTransitTotal), 0 whenever the books are right: with −300 outstanding ' +
          'and 50 in transit, 1,000 at the bank are 650 in the books',
      ),
    }),
  ),
});

const tieOutSchema = z.object({
  asOf: calendarDate(),
  items: z.array(
    z.object({
      accountCode: z.string(),
      currency: currencyCode(),
      ledger: moneySum(
        'the balance of a control account; of another account, what the operations of the sub-ledger have posted; debit positive',
      ),
      subledger: moneySum('what the documents of the sub-ledger say; debit positive'),
      difference: moneySum('ledger − subledger; 0 whenever the books are right'),
      otherPostings: moneySum(
        'what other entries posted to the account, such as payments of tax or wages; debit positive',
      ),
    }),
  ),
});

const stockMovementSchema = z.object({
  id: resourceId(),
  itemId: resourceId(),
  date: calendarDate(),
  quantityDelta: z.int().meta({ description: 'Whole units; more: positive' }),
  cost: signedMoney(),
  quantity: moneySum().meta({
    description: 'Whole units of the item after the movement. A string of digits beyond ±(2^53 − 1)',
  }),
  value: moneySum('of these units'),
  journalEntryId: resourceId(),
  operation: z.string(),
});

const callerSchema = accessSchema.extend({
  companyId: resourceId(),
  email: z.string(),
  company: z
    .object({ id: resourceId(), name: z.string(), timeZone: z.string(), baseCurrency: currencyCode() })
    .meta({ description: 'What every member may know of the company' }),
});

const writeSummarySchema = z.object({
  key: z.string(),
  writeId: resourceId().nullable(),
  operation: z.string().nullable().meta({
    description:
      'null for a cancelled key, whose request is not known; of one that had waited for its approval, what was asked for',
  }),
  type: z.enum(['financial', 'high-risk']).nullable(),
  state: z
    .enum(['running', 'pending_approval', 'succeeded', 'rejected', 'cancelled', 'lost', 'failed', 'unknown'])
    .meta({ description: 'lost: a failover or a restore of the database has taken its record' }),
  status: z.int().nullable().meta({ description: 'The HTTP status of the outcome' }),
  location: z.string().nullable(),
  resource: z.object({ type: z.string(), id: z.string(), url: z.string() }).nullable(),
  document: z
    .object({
      number: z.string().nullable().meta({ description: 'Such as RCT-000001; null where it has none' }),
      amount: signedMoney().nullable().meta({
        description: 'Minor units: what was asked for, or the total of the document; null where it is of no one amount',
      }),
      currency: currencyCode().nullable(),
    })
    .nullable()
    .optional()
    .meta({
      description:
        'What people know the write by. null for a write of something else than money, for who may not see what it answered, wherever it may tell what somebody is paid, and in lists where that is larger than 64 KiB',
    }),
  actor: z.object({
    userId: resourceId().nullable().meta({ description: 'null for a lost write whose user is lost, too' }),
  }),
  requestId: z.string(),
  requestedAt: instant(),
  completedAt: instant().nullable().meta({ description: 'For a lost write, when it was found to be lost' }),
  attempts: z.int().min(0),
  workflow: z.object({ id: z.string(), runId: z.string().nullable(), url: z.string().nullable() }).nullable(),
});

/** Of a version of before the history was kept, something may not be known. */
const knownSettings = Object.fromEntries(
  Object.entries(settingsSchema.omit({ version: true }).shape).map(([name, member]) => [name, member.nullable()]),
);
const settingValue = () => z.union([z.string(), z.number(), z.boolean(), z.null()]);

const settingsVersionSchema = z.object({
  version: z.int().min(1),
  changedAt: instant().nullable(),
  changedBy: resourceId().nullable().meta({ description: 'null where no write changed them, but SQL' }),
  requestId: z.string().nullable(),
  writeId: resourceId().nullable(),
  reopenReason: z.string().nullable(),
  changes: z
    .array(z.object({ setting: z.string(), from: settingValue(), to: settingValue() }))
    .nullable()
    .meta({ description: 'Against the version before; null where one of the two is not known' }),
  settings: z.object(knownSettings).meta({ description: 'All settings as of this version; null where not known' }),
});

const TIMELINE_KINDS = [
  ...[
    'requested',
    'started',
    'approval_requested',
    'approved',
    'disapproved',
    'attempt_failed',
    'completed',
    'rejected',
    'cancelled',
    'lost',
  ],
  ...['replayed', 'conflicted', 'run_failed', 'event_recorded', 'event_delivered'],
] as const;

const writeSchema = writeSummarySchema.extend({
  response: z.unknown().meta({ description: 'The body of the outcome; null while there is none' }),
  request: z.unknown().optional().meta({
    description:
      'What was asked for, as path parameters and body, of a write that has its outcome or waits for its approval; null for who may not see it, and where it is not known',
  }),
  approvals: z
    .array(
      z.object({
        userId: resourceId(),
        decision: z.enum(['approved', 'rejected']),
        comment: z.string().nullable(),
        at: instant(),
      }),
    )
    .optional()
    .meta({ description: 'The decisions about a write that an approval policy has matched' }),
  approvalsNeeded: z.int().optional().meta({
    description: 'How many people have to approve it at least; more where the demands ask for different people',
  }),
  demands: z
    .array(z.object({ roles: z.array(z.enum(APPROVER_ROLES)), count: z.int().min(1), given: z.int().min(0) }))
    .optional()
    .meta({
      description:
        'What the policies ask for: so many approvals by people with one of the roles. Each has to be met; an approval counts for each that names a role of the person',
    }),
  expiresAt: instant().nullable().optional().meta({ description: 'When it is over; null once it has its outcome' }),
  approvedBy: resourceId()
    .nullable()
    .optional()
    .meta({ description: 'Who has given the last approval that it needed' }),
  timeline: z.array(
    z.object({
      at: instant(),
      kind: z.enum(TIMELINE_KINDS),
      requestId: z.string().optional(),
      userId: z.string().optional(),
      detail: z.string().optional(),
      differences: z
        .array(z.object({ in: z.enum(['body', 'path', 'operation']), pointer: z.string() }))
        .optional()
        .meta({
          description:
            'Of another request with the key: where it differs, at most the first 20, as JSON pointers. Below a member whose names the client chooses, such as metadata, that member is told. Absent from what was recorded before they were',
        }),
      eventId: resourceId().optional().meta({ description: 'Of event_recorded and event_delivered' }),
    }),
  ),
  timelineTruncated: z
    .boolean()
    .optional()
    .meta({ description: 'true when items between the first and the last are omitted' }),
});

/** By the name of the resource that a read returns. */
export const READ_SCHEMAS: Readonly<Record<string, z.ZodObject>> = {
  account_line: accountLineSchema,
  trial_balance: trialBalanceSchema,
  profit_and_loss: profitAndLossSchema,
  balance_sheet: balanceSheetSchema,
  me: callerSchema,
  event: eventSchema,
  invoice_with_history: invoiceSchema.extend({
    payments: z.array(paymentSchema),
    refunds: z.array(refundSchema),
    creditNotes: z.array(creditNoteSchema),
    writeOffs: z.array(writeOffSchema),
    entries: z.array(journalEntrySchema),
  }),
  aged_receivables: agedReceivablesSchema,
  sales_tax: salesTaxSchema,
  bank_reconciliation: bankReconciliationSchema,
  tie_out: tieOutSchema,
  stock_movement: stockMovementSchema,
  security_event: securityEventSchema,
  settings_version: settingsVersionSchema,
  write_summary: writeSummarySchema,
  write: writeSchema,
  write_proof: writeProofSchema,
};
