import type { WriteArguments } from '../../workflows/messages.ts';
import { writeId } from '../identity.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';

type Named = Pick<WriteArguments, 'companyId' | 'operation'> & {
  /** Null while it is not known, as that of a row whose key follows from its file. */
  readonly key: string | null;
  readonly input: { readonly params?: unknown; readonly body?: unknown };
};

/**
 * What a write names, for those that must keep their order: two rows of a batch, of one company. Where both name the same,
 * they do; a name that begins with `~` is *shared*, and two that only share it need no order. Names are:
 * - each UUID of path and body, and the ID of the row that the write makes, which follows from its key;
 * - its key, which is also how its own two attempts meet;
 * - what has to be unique in the company;
 * - each account code; an account is changed by nothing but being made, so only that is not shared. The accounts that every
 *   company begins with are left out;
 * - what it changes, or rests on, without naming it: {@link OF_OPERATION}. The whole company is shared by all.
 *
 * `metadata` names nothing: no operation reads it. Takes an input as it was sent, too, of whatever form.
 */
export function namedResources({ companyId, operation, key, input }: Named): readonly string[] {
  const names = new Set(key === null ? [] : [`${KEY}${key}`, writeId(companyId, operation, key)]);
  const codeOf = (code: string) => (operation === 'createAccount' ? `code:${code}` : shared(`code:${code}`));
  collect(input.params, names, codeOf);
  collect(input.body, names, codeOf);
  for (const name of OF_OPERATION[operation]?.(membersOf(input.body)) ?? []) names.add(name);
  if (!names.has(COMPANY)) names.add(shared(COMPANY));
  return [...names];
}

const KEY = 'key:';
const COMPANY = 'company';
const SHARED = '~';

const shared = (name: string) => `${SHARED}${name}`;
export const isShared = (name: string) => name.startsWith(SHARED);
export const isKeyName = (name: string) => name.startsWith(KEY);
/** A name without the sign that it is shared. */
export const bareName = (name: string) => (isShared(name) ? name.slice(SHARED.length) : name);

/** What several writes name together. */
export type NamedSet = {
  add(names: Iterable<string>): void;
  /** Whether a write that names these must keep its order with one of them. */
  meets(names: Iterable<string>): boolean;
};

export function createNamedSet(): NamedSet {
  const all = new Set<string>();
  return {
    add(names) {
      for (const name of names) all.add(name);
    },
    meets(names) {
      if (all.size === 0) return false;
      for (const name of names) {
        if (all.has(bareName(name)) || (!isShared(name) && all.has(shared(name)))) return true;
      }
      return false;
    },
  };
}

type Members = Readonly<Record<string, unknown>>;

/** A refund or a void changes what is due on an invoice that it does not name. */
const REFUNDS = 'refunds';
/** Reversing an entry undoes the reconciliation of a bank transaction that it does not name; a void matches unnamed lines. */
const REVERSALS = 'reversals';
/** A pay run takes whoever is employed, and no period is paid twice. */
const PAYROLL = 'payroll';

/** What cannot be seen from the form of a value. */
const OF_OPERATION: Readonly<Record<string, (body: Members) => readonly string[]>> = {
  updateCompanySettings: () => [COMPANY],
  grantUserAccess: () => [COMPANY],
  // What it starts looks at everything that is there.
  triggerWorkflow: () => [COMPANY],
  createCustomer: ({ externalReference }) => unique('externalReference', externalReference),
  createEmployee: ({ email }) => [...unique('email', lowerCase(email)), shared(PAYROLL)],
  createPayRun: () => [PAYROLL],
  executePayroll: () => [PAYROLL],
  createInventoryItem: ({ sku }) => unique('sku', sku),
  // A reference is unique in its bank account.
  importBankTransactions: ({ accountCode = ACCOUNTS.bank }) => unique('bank', accountCode),
  reverseJournalEntry: () => [REVERSALS],
  reconcileLedger: () => [shared(REVERSALS)],
  unreconcileBankTransaction: () => [shared(REVERSALS)],
  // It takes the next number, and tells when that is out of the order of dates.
  finalizeInvoice: () => ['number:invoice'],
  createRefund: () => [REFUNDS],
  voidPayment: () => [REFUNDS, REVERSALS],
  voidRefund: () => [REFUNDS, REVERSALS],
  voidCreditNote: () => [REFUNDS],
  createPayment: () => [shared(REFUNDS)],
  createCreditNote: () => [shared(REFUNDS)],
  voidInvoice: () => [shared(REFUNDS)],
  recordInvoiceReminder: () => [shared(REFUNDS)],
};

function unique(what: string, value: unknown): readonly string[] {
  return typeof value === 'string' ? [`${what}:${value}`] : [];
}

function lowerCase(value: unknown): unknown {
  return typeof value === 'string' ? value.toLowerCase() : value;
}

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const CODE = /^code$|Code$/;
const FROM_THE_BEGINNING = new Set<string>(Object.values(ACCOUNTS));

function collect(value: unknown, names: Set<string>, codeOf: (code: string) => string): void {
  if (typeof value === 'string') {
    if (UUID.test(value)) names.add(value.toLowerCase());
  } else if (Array.isArray(value)) {
    for (const each of value) collect(each, names, codeOf);
  } else {
    for (const [member, inner] of Object.entries(membersOf(value))) {
      if (member === 'metadata') continue;
      if (CODE.test(member) && typeof inner === 'string' && !FROM_THE_BEGINNING.has(inner)) names.add(codeOf(inner));
      collect(inner, names, codeOf);
    }
  }
}

function membersOf(value: unknown): Members {
  return typeof value === 'object' && value !== null ? (value as Members) : {};
}
