import { rowId } from '../../../activities/identity.ts';

/**
 * What one company's books should be, as simply as can be said: maps by ID, and one balance an account and currency. It
 * knows neither database nor product code, but how IDs follow from keys. Each operation stands in one of the files beside
 * this one, with a request that chance makes of the model, and with what that request does to it.
 */
export type Model = {
  readonly members: Map<Actor, readonly string[]>;
  readonly userIds: Readonly<Record<Actor, string>>;
  settings: {
    version: number;
    baseCurrency: string;
    closedThrough: string | null;
    employerRate: bigint;
    approval: boolean;
  };
  readonly accounts: Map<string, { type: string; isBank: boolean; isControl: boolean }>;
  readonly customers: Map<string, { currency: string; reference: string | undefined }>;
  readonly invoices: Map<string, Invoice>;
  readonly payments: Map<string, { invoice: Invoice; amount: bigint; refunded: bigint; on: string; bank: string }>;
  readonly entries: Map<string, Entry>;
  readonly lines: Map<string, Line>;
  readonly bankTransactions: Map<string, BankTransaction>;
  readonly employees: Map<string, Employee>;
  readonly payRuns: Map<string, PayRun>;
  readonly paidPeriods: Set<string>;
  readonly items: Map<string, { sku: string; currency: string; quantity: bigint; value: bigint }>;
  readonly balances: Map<string, bigint>;
  triggers: number;
};

export type Actor = 'owner' | 'admin' | 'accountant' | 'manager' | 'newcomer';

export type Invoice = {
  readonly currency: string;
  readonly lines: { net: bigint; tax: bigint; account: string; creditedNet: bigint; creditedTax: bigint }[];
  readonly total: bigint;
  paid: bigint;
  credited: bigint;
  number: number | undefined;
  issueDate: string;
  isVoid: boolean;
  readonly steps: Set<number>;
};

export type Entry = {
  readonly operation: string;
  readonly date: string;
  readonly lines: readonly Posted[];
  readonly lineIds: readonly string[];
  /** The bank transaction whose difference it is. */
  readonly difference: BankTransaction | undefined;
  isReversed: boolean;
};

/** Of what a line of the books is accounted for by: a bank transaction, or the line that reverses it. */
type Line = Posted & { readonly entryId: string; matched: BankTransaction | 'reversed' | undefined };
type Posted = { readonly account: string; readonly amount: bigint; readonly currency: string };

export type BankTransaction = {
  readonly account: string;
  readonly content: { bankReference: string; date: string; amount: number; currency: string; description: string };
  reconciled: boolean;
  difference: boolean;
};

export type Employee = {
  readonly email: string;
  readonly salary: bigint;
  readonly currency: string;
  readonly frequency: Frequency;
  readonly rate: bigint;
  readonly preTax: bigint;
  readonly postTax: bigint;
};
export type Frequency = 'weekly' | 'biweekly' | 'semimonthly' | 'monthly';

type PayRun = {
  status: 'draft' | 'approved' | 'executed';
  readonly by: Actor;
  readonly date: string;
  readonly currency: string;
  readonly periods: readonly string[];
  readonly gross: bigint;
  readonly tax: bigint;
  readonly deductions: bigint;
  readonly net: bigint;
  readonly employerTax: bigint;
};

export type Request = {
  readonly params?: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: each operation knows the body that it has made
  readonly body: any;
};
export type Expected = { readonly status: number; readonly code?: string };
export type Context = { readonly operation: string; readonly id: string; readonly actor: Actor };

/** What chance decides of a request. */
export type Draw = {
  /** 0 to `below` - 1. */
  nat(below: number): number;
  pick<T>(of: readonly T[]): T;
  /** The ID of one of them, mostly of one that fits; one time in ten, or where there is none, of nothing. */
  any<T>(of: ReadonlyMap<string, T>, fits?: (one: T) => boolean): string;
};

export type ModelOperation = {
  readonly weight: number;
  /** While there is nothing that it could be done with: the operation that makes it. */
  first?(model: Model): string | undefined;
  request(model: Model, draw: Draw): Request;
  /** Does the request to the model, and says how it is answered. */
  expect(model: Model, request: Request, context: Context): Expected;
};

export const NOTHING = '00000000-0000-4000-8000-000000000000';
export const DATES = ['2026-01-10', '2026-01-31', '2026-02-10', '2026-03-10'] as const;
export const MAX = 10n ** 13n;

export const CREATED: Expected = { status: 201 };
export const CHANGED: Expected = { status: 200 };
export const no = (status: number, code: string): Expected => ({ status, code });

/** Half away from zero. */
export function half(numerator: bigint, denominator: bigint): bigint {
  const doubled = 2n * (numerator < 0n ? -numerator : numerator) + denominator;
  const rounded = doubled / (2n * denominator);
  return numerator < 0n ? -rounded : rounded;
}

export function emptyModel(userIds: Model['userIds']): Model {
  const account = (type: string, isBank = false, isControl = false) => ({ type, isBank, isControl });
  return {
    members: new Map<Actor, readonly string[]>([
      ['owner', ['owner']],
      ['admin', ['admin']],
      ['accountant', ['accountant']],
      ['manager', ['manager']],
    ]),
    userIds,
    settings: { version: 1, baseCurrency: 'USD', closedThrough: null, employerRate: 765n, approval: false },
    accounts: new Map([
      ['1000', account('asset', true)],
      ['1100', account('asset', false, true)],
      ['1200', account('asset', false, true)],
      ['3000', account('equity')],
      ['4000', account('income')],
      ['2000', account('liability')],
      ['5100', account('expense')],
      ['6900', account('expense')],
    ]),
    customers: new Map(),
    invoices: new Map(),
    payments: new Map(),
    entries: new Map(),
    lines: new Map(),
    bankTransactions: new Map(),
    employees: new Map(),
    payRuns: new Map(),
    paidPeriods: new Set(),
    items: new Map(),
    balances: new Map(),
    triggers: 0,
  };
}

export function isClosed({ settings }: Model, date: string): boolean {
  return settings.closedThrough !== null && date <= settings.closedThrough;
}

/** Posts the entry of a write; lines of zero are left out. */
export function post(
  model: Model,
  entry: {
    readonly id?: string;
    readonly date: string;
    readonly lines: readonly (readonly [account: string, amount: bigint])[];
    readonly currency: string;
    readonly difference?: BankTransaction;
  },
  { operation, id: writeId }: Context,
): void {
  const id = entry.id ?? rowId(writeId, 'journal_entries', 0);
  const lines = entry.lines
    .map(([account, amount], position) => ({ account, amount, position, currency: entry.currency }))
    .filter(({ amount }) => amount !== 0n);
  for (const { position, account, amount, currency } of lines) {
    const line = { account, amount, currency, entryId: id, matched: undefined };
    model.lines.set(rowId(writeId, 'journal_lines', position), line);
    addTo(model, account, currency, amount);
  }
  model.entries.set(id, {
    operation,
    date: entry.date,
    lines,
    lineIds: lines.map(({ position }) => rowId(writeId, 'journal_lines', position)),
    difference: entry.difference,
    isReversed: false,
  });
}

/** Posts what undoes an entry. Its lines have IDs of their own, and no one can name them. */
export function postMirror(model: Model, { lines }: Entry): void {
  for (const { account, amount, currency } of lines) addTo(model, account, currency, -amount);
}

function addTo({ balances }: Model, account: string, currency: string, amount: bigint): void {
  const name = `${account} ${currency}`;
  balances.set(name, (balances.get(name) ?? 0n) + amount);
}
