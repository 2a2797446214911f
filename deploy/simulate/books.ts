import type { Random } from './random.ts';

/**
 * What the plan has a company do so far: so much of its books that the next request can name something. Everything knows
 * the step that makes it, which has to be answered before anything that names it is sent. It is a plan: what races in the
 * run may turn out otherwise, and is then refused.
 */
export type PlannedBooks = {
  readonly companyId: string;
  readonly ownerId: string;
  /** Users of no company: the one becomes its accountant, the other's roles come and go. */
  readonly accountantId: string;
  readonly newcomerId: string;
  readonly customers: Planned<{ currency: string; reference?: string }>[];
  readonly invoices: PlannedInvoice[];
  readonly payments: Planned<{ currency: string; left: number; bankAccount: string }>[];
  readonly accounts: { code: string; type: string; isBank: boolean; step: number }[];
  /** Manual entries and differences that can be reversed. */
  readonly entries: Planned<{ reversed: boolean; bankLines: readonly BankLine[] }>[];
  /** Lines of bank accounts that no bank transaction was matched with yet. */
  readonly bankLines: BankLine[];
  readonly bankTransactions: PlannedBankTransaction[];
  readonly employees: Planned<{ email: string; payFrequency: string; currency: string }>[];
  readonly payRuns: Planned<{ draft: boolean; executed: boolean }>[];
  readonly items: Planned<{ sku: string; currency: string; quantity: number }>[];
  /** The settings go from version to version, one change after the other. */
  readonly settings: { version: number; step: number; approval: boolean };
  readonly access: { accountantStep: number; step: number; isMember: boolean };
  /** Numbers what must be unique in the company. */
  next(): number;
};

type Planned<T> = T & { readonly id: string; step: number };

export type PlannedInvoice = Planned<{
  currency: string;
  lines: { net: number; left: number }[];
  due: number;
  total: number;
  state: 'draft' | 'finalized' | 'void';
}>;

export type BankLine = {
  readonly id: string;
  readonly step: number;
  readonly account: string;
  readonly currency: string;
  readonly amount: number;
  matched: boolean;
};

type PlannedBankTransaction = Planned<{
  content: { bankReference: string; date: string; amount: number; currency: string; description: string };
  account: string;
  state: 'unreconciled' | 'matched' | 'with a difference';
  lines: readonly BankLine[];
}>;

export function emptyBooks(
  companyId: string,
  people: Pick<PlannedBooks, 'ownerId' | 'accountantId' | 'newcomerId'>,
): PlannedBooks {
  let numbers = 0;
  return {
    companyId,
    ...people,
    customers: [],
    invoices: [],
    payments: [],
    accounts: [],
    entries: [],
    bankLines: [],
    bankTransactions: [],
    employees: [],
    payRuns: [],
    items: [],
    settings: { version: 1, step: -1, approval: false },
    access: { accountantStep: -1, step: -1, isMember: false },
    next() {
      numbers += 1;
      return numbers;
    },
  };
}

/** One thing that someone does in a company: a request to be. */
export type Move = {
  readonly params?: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
  /** Steps that must have been answered before. */
  readonly after: readonly number[];
  readonly as?: Member;
  /** A rejection that it meets for certain, whatever else is under way. */
  readonly refused?: string;
  /** Notes what it will have made. Where that is in doubt (a cancel, a race), it is not called and nothing rests on it. */
  made?(step: number, writeId: string): void;
};

export type Member = 'owner' | 'accountant';

/** `undefined`: there is nothing yet that it could be done with. */
export type MoveMaker = (books: PlannedBooks, random: Random, odd: (share: number) => boolean) => Move | undefined;

/** A resource that is nowhere. */
export const NOWHERE = '00000000-0000-4000-8000-000000000000';
/** The books are closed through the end of 2025 from a company's first step on, and never opened before December. */
export const LONG_CLOSED = '2025-06-30';
export const CURRENCIES = ['USD', 'USD', 'USD', 'JPY', 'KWD'] as const;
