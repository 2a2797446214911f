import { ACCOUNTS } from '../../../activities/ledger/accounts.ts';
import type { Random } from './random.ts';

/**
 * What one company's books should be, in the simplest form: maps by ID, and one balance per account and currency. They are
 * computed independently of the product: of its code they use only IDs, account codes and the largest amount.
 */
export type Books = {
  readonly companyId: string;
  readonly userIds: Readonly<Partial<Record<Actor, string>>>;
  readonly members: Map<Actor, readonly string[]>;
  readonly limits: Limits;
  settings: Settings;
  /** By code. */
  readonly accounts: Map<string, Account>;
  readonly customers: Map<string, Customer>;
  readonly invoices: Map<string, Invoice>;
  readonly payments: Map<string, Payment>;
  readonly refunds: Map<string, Refund>;
  /** In the order in which they were made. */
  readonly creditNotes: Map<string, CreditNote>;
  readonly entries: Map<string, Entry>;
  /** Of bank accounts: the others are never matched. */
  readonly bankLines: Map<string, BankLine>;
  /** By account and currency, such as `1000 USD`. */
  readonly balances: Map<string, bigint>;
  /** Every line, with its day. */
  readonly postings: (Posted & { readonly date: string })[];
  /** The fiscal years that are closed, in their order. */
  readonly closings: Closing[];
  policies: Policies;
  readonly bankTransactions: Map<string, BankTransaction>;
  readonly employees: Map<string, Employee>;
  readonly payRuns: Map<string, PayRun>;
  /** Employees with the periods that they are paid for. */
  readonly paidPeriods: Set<string>;
  readonly items: Map<string, Item>;
  triggers: number;
  /** Numbers what must be unique in the company. */
  next(): number;
};

export type Actor = 'owner' | 'admin' | 'accountant' | 'manager' | 'newcomer';

/** What requests may change. Where they overtake each other, not what others rest on: a day to post on, someone's roles. */
type Limits = {
  /** Days through which the books may be closed, first of all the first; null opens all of them. */
  readonly closings: readonly (string | null)[];
  /**
   * Each request is answered before the next is sent: then a closing may ask for what others have left undone, and a policy for
   * amounts that others change.
   */
  readonly isSequential: boolean;
  /** Differences with the bank up to which no reason is needed; null sets no limit. */
  readonly tolerances: readonly (number | null)[];
  /** Whose roles may change. */
  readonly changing: readonly Actor[];
};

type Settings = {
  readonly version: number;
  readonly baseCurrency: string;
  readonly closedThrough: string | null;
  /** As `MM-DD`. */
  readonly fiscalYearEnd: string;
  readonly employerRate: bigint;
  readonly approval: boolean;
  readonly latestPostingDays: number;
  readonly taxRounding: string;
  readonly reconcileTolerance: number | null;
};
/** `entryId` is undefined where there was nothing to move. */
type Closing = {
  readonly year: number;
  readonly endsOn: string;
  readonly closedThroughBefore: string | null;
  readonly entryId: string | undefined;
};

type Policies = { readonly version: number; readonly all: readonly Policy[] };

/** Which writes wait for whose approval. */
export type Policy = {
  readonly operation: string;
  readonly amountFrom: number | null;
  readonly currency: string | null;
  readonly approverRoles: readonly string[];
  readonly count: number;
  readonly expiresAfterHours: number;
};

type Account = { readonly type: string; readonly isBank: boolean; readonly isControl: boolean };

type Customer = {
  readonly currency: string;
  reference: string | undefined;
  name: string;
  email: string | null;
  metadata: Readonly<Record<string, string>> | null;
};
/** The rate is in thousandths of a percent. A line that is a discount over the invoice is negative. */
export type InvoiceLine = {
  readonly rate: bigint;
  readonly net: bigint;
  tax: bigint;
  readonly account: string;
  creditedNet: bigint;
  creditedTax: bigint;
};
export type Invoice = {
  readonly currency: string;
  readonly lines: readonly InvoiceLine[];
  readonly total: bigint;
  readonly dueDate: string;
  paid: bigint;
  credited: bigint;
  number: number | undefined;
  issueDate: string;
  /** The entry that its finalizing has posted. */
  entryId: string;
  isVoid: boolean;
  isDiscarded: boolean;
  /** What has changed what is due on it since it was issued, by day: payments and credit notes take from it, their voids give back. */
  readonly moved: Change[];
  readonly reminders: Set<number>;
  /** Those that are not recovered, in their order. */
  readonly writeOffs: WriteOff[];
};

type WriteOff = { readonly amount: bigint; readonly tax: bigint; readonly date: string; readonly entryId: string };

type Change = { readonly date: string; readonly amount: bigint };

type Payment = {
  readonly invoice: Invoice;
  readonly amount: bigint;
  refunded: bigint;
  readonly on: string;
  readonly bank: string;
  readonly posted: PostedToBank;
  isVoid: boolean;
};

type Refund = {
  readonly payment: Payment;
  readonly amount: bigint;
  readonly on: string;
  readonly posted: PostedToBank;
  isVoid: boolean;
};

/** The IDs of an entry and of its line of the bank account. */
type PostedToBank = { readonly entryId: string; readonly lineId: string };

export type CreditNote = {
  readonly invoice: Invoice;
  readonly parts: readonly { readonly line: InvoiceLine; readonly net: bigint; readonly tax: bigint }[];
  readonly total: bigint;
  readonly on: string;
  readonly entryId: string;
  isVoid: boolean;
};

export type Entry = {
  readonly writeId: string;
  readonly operation: string;
  readonly date: string;
  readonly lines: readonly Posted[];
  readonly lineIds: readonly string[];
  /** The bank transaction whose difference it is. */
  readonly difference: BankTransaction | undefined;
  isReversed: boolean;
};

/** `matched`: what accounts for it, a bank transaction or the line that reverses it. */
type BankLine = Posted & { readonly writeId: string; matched: BankTransaction | 'reversed' | undefined };
export type Posted = { readonly account: string; readonly amount: bigint; readonly currency: string };

export type BankTransaction = {
  readonly account: string;
  readonly content: { bankReference: string; date: string; amount: number; currency: string; description: string };
  isReconciled: boolean;
  hasDifference: boolean;
};

export type Employee = {
  email: string;
  /** The last day. */
  leftOn: string | null;
  /** In the order in which they were given, from those of the beginning on. */
  readonly terms: Terms[];
};
/** In force from a day on; those of the beginning from ''. */
export type Terms = {
  readonly from: string;
  readonly salary: bigint;
  readonly currency: string;
  readonly frequency: Frequency;
  readonly rate: bigint;
  readonly preTax: bigint;
  readonly postTax: bigint;
};
export type Frequency = 'weekly' | 'biweekly' | 'semimonthly' | 'monthly';

export type PayRun = {
  status: 'draft' | 'approved' | 'executed' | 'voided';
  readonly by: Actor;
  executedBy?: Actor;
  /** What executing it has posted. */
  entryId?: string;
  /** The company's setting when the run was made. */
  readonly approvalRequired: boolean;
  readonly date: string;
  readonly currency: string;
  readonly periods: readonly string[];
  readonly gross: bigint;
  readonly tax: bigint;
  readonly deductions: bigint;
  readonly net: bigint;
  readonly employerTax: bigint;
};

export type Item = {
  sku: string;
  name: string;
  readonly currency: string;
  quantity: bigint;
  value: bigint;
  /** What moved it, by day. */
  readonly moved: { readonly date: string; readonly quantity: bigint; readonly value: bigint }[];
};

/** A write that is to be; what it makes has IDs that follow from its own. */
export type Write = { readonly operation: string; readonly id: string; readonly actor: Actor };

/** The ID of a resource that is nowhere. */
export const NOTHING = '00000000-0000-4000-8000-000000000000';
export const CURRENCIES = ['USD', 'USD', 'USD', 'JPY', 'KWD'] as const;
/** By line, as every company at first; or once per rate over an invoice. */
export const TAX_ROUNDINGS = ['line', 'document'] as const;
/** Before every day through which the books are ever closed. */
export const LONG_CLOSED = '2025-06-30';
/** In each of the fiscal years that requests close. What a new company brings with it is posted on these days. */
export const EARLIER_YEARS = ['2024-03-31', '2025-03-31'] as const;
/** Further ahead than any company posts. */
const FAR_AHEAD = '2999-12-31';
const DAYS = ['2026-01-10', '2026-01-31', '2026-02-10', '2026-02-25', '2026-03-10', '2026-03-31'] as const;

/** The chart of accounts that a new company has. */
const CHART: readonly (readonly [type: string, ...codes: string[]])[] = [
  ['asset', ACCOUNTS.bank, ACCOUNTS.receivable, ACCOUNTS.inventory],
  [
    'liability',
    ACCOUNTS.payable,
    ACCOUNTS.salesTax,
    ACCOUNTS.payrollTaxes,
    ACCOUNTS.payrollDeductions,
    ACCOUNTS.wagesPayable,
  ],
  ['equity', ACCOUNTS.equity, '3100'],
  ['income', ACCOUNTS.sales],
  [
    'expense',
    '5000',
    ACCOUNTS.inventoryAdjustments,
    ACCOUNTS.wages,
    ACCOUNTS.employerTax,
    '6800',
    ACCOUNTS.bankCharges,
  ],
];

export function emptyBooks(
  company: Pick<Books, 'companyId' | 'userIds' | 'limits'> & {
    readonly members: Readonly<Partial<Record<Actor, string>>>;
  },
): Books {
  let numbers = 0;
  const accounts = CHART.flatMap(([type, ...codes]) =>
    codes.map((code) => {
      const isControl = code === ACCOUNTS.receivable || code === ACCOUNTS.inventory;
      return [code, { type, isBank: code === ACCOUNTS.bank, isControl }] as const;
    }),
  );
  return {
    ...company,
    members: new Map(Object.entries(company.members).map(([actor, role]) => [actor as Actor, [role]])),
    settings: {
      version: 1,
      baseCurrency: 'USD',
      closedThrough: null,
      fiscalYearEnd: '12-31',
      employerRate: 765n,
      approval: false,
      latestPostingDays: 366,
      taxRounding: TAX_ROUNDINGS[0],
      reconcileTolerance: null,
    },
    accounts: new Map(accounts),
    customers: new Map(),
    invoices: new Map(),
    payments: new Map(),
    refunds: new Map(),
    creditNotes: new Map(),
    entries: new Map(),
    bankLines: new Map(),
    bankTransactions: new Map(),
    employees: new Map(),
    payRuns: new Map(),
    paidPeriods: new Set(),
    items: new Map(),
    balances: new Map(),
    postings: [],
    closings: [],
    policies: { version: 1, all: [] },
    triggers: 0,
    next: () => (numbers += 1),
  };
}

/** Half away from zero. */
export function divide(numerator: bigint, denominator: bigint): bigint {
  const doubled = 2n * (numerator < 0n ? -numerator : numerator) + denominator;
  const rounded = doubled / (2n * denominator);
  return numerator < 0n ? -rounded : rounded;
}

export function sumOf<T>(of: readonly T[], amount: (one: T) => bigint): bigint {
  return of.reduce((sum, one) => sum + amount(one), 0n);
}

/** The least that there is at the end of any day from that one on, which is what can be taken on it. */
export function leastSince(day: string, before: bigint, changes: readonly Change[]): bigint {
  const days = [day, ...changes.map(({ date }) => date).filter((date) => date > day)];
  const left = days.map((one) => {
    const until = changes.filter(({ date }) => date <= one);
    return before + sumOf(until, ({ amount }) => amount);
  });
  return left.reduce((smallest, one) => (one < smallest ? one : smallest));
}

export function isClosed({ settings }: Books, date: string): boolean {
  return settings.closedThrough !== null && date <= settings.closedThrough;
}

export function isFarAhead(date: string): boolean {
  return date === FAR_AHEAD;
}

/** As `anyDay`; now and then the wrong century. */
export function postingDay(books: Books, random: Random, since = ''): string {
  return random.unusual(0.03) ? FAR_AHEAD : anyDay(books, random, since);
}

/** A day on which it can be posted, not before `since`; now and then any day, such as the last that is closed. */
export function anyDay(books: Books, { pick, unusual }: Random, since = ''): string {
  const lastClosed = DAYS.findLast((day) => isClosed(books, day)) ?? LONG_CLOSED;
  if (unusual(0.06)) return pick([...DAYS, LONG_CLOSED, lastClosed]);
  const open = DAYS.filter((day) => day >= since && !isClosed(books, day));
  return open.length > 0 ? pick(open) : pick(DAYS);
}

/** As `postingDay`. Where requests overtake each other, none of a year that is to be closed: that asks whether all is reconciled. */
export function statementDay(books: Books, random: Random): string {
  const day = postingDay(books, random);
  return books.limits.isSequential || day >= DAYS[0] ? day : DAYS[0];
}

export function codesOf({ accounts }: Books, fits: (account: Account) => boolean): readonly string[] {
  return [...accounts].flatMap(([code, account]) => (fits(account) ? [code] : []));
}
