import { fingerprint, writeId } from '../../activities/identity.ts';
import { type Operation, parseInput } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { withOtherContent } from '../contract/requests.ts';
import { emptyBooks, type Member, type Move, type MoveMaker, type PlannedBooks } from './books.ts';
import { COMPANY } from './moves/company.ts';
import { LEDGER } from './moves/ledger.ts';
import { PAYROLL, STOCK } from './moves/payroll.ts';
import { SALES } from './moves/sales.ts';
import { createRandom, type Random } from './random.ts';

/** One request to be sent; its place in the plan is its number. */
export type Step = {
  /** Place of the company among those of the run. */
  readonly company: number;
  readonly key: string;
  readonly as: Member;
  readonly operation: Operation;
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly prefer?: string;
  /** Steps that must have been answered before this one is sent; all of them come before it in the plan. */
  readonly after: readonly number[];
  readonly kind: 'write' | 'duplicate' | 'mismatch' | 'cancel' | 'at the door';
  /** Sent beside the write that it is a rival of: which of them comes first is open. */
  readonly atOnce?: true;
  /** The code that it is answered with, whatever else is under way. */
  readonly refused?: string;
  /** Of what it asks for; null where that cannot be asked for at all. */
  readonly fingerprint: string | null;
};

export type PlanOptions = {
  readonly seed: string;
  /** How many writes are meant: each a key of its own. Duplicates, mismatches and cancels come on top. */
  readonly operations: number;
  readonly companies: readonly Pick<PlannedBooks, 'companyId' | 'ownerId' | 'accountantId' | 'newcomerId'>[];
};

const MAKERS: Readonly<Record<string, MoveMaker>> = { ...SALES, ...LEDGER, ...PAYROLL, ...STOCK, ...COMPANY };

/** What an hour consists of; the order is that in which a company does each of them once, to begin with. */
const WEIGHTS: Readonly<Record<string, number>> = {
  updateCompanySettings: 1,
  grantUserAccess: 1,
  createAccount: 1,
  createCustomer: 6,
  createInvoice: 16,
  finalizeInvoice: 15,
  createPayment: 18,
  createRefund: 4,
  createCreditNote: 4,
  recordInvoiceReminder: 2,
  voidInvoice: 3,
  createJournalEntry: 8,
  importBankTransactions: 3,
  reconcileLedger: 6,
  unreconcileBankTransaction: 2,
  reverseJournalEntry: 3,
  createEmployee: 2,
  createPayRun: 3,
  approvePayRun: 1.5,
  executePayroll: 2,
  createInventoryItem: 2,
  adjustInventory: 7,
  triggerWorkflow: 0.3,
};

/** Shares of the writes that are sent in another way than once and alone. */
const SHARES = {
  duplicateAtOnce: 0.12,
  duplicateLater: 0.08,
  mismatchLater: 0.03,
  cancelBefore: 0.01,
  cancelLater: 0.01,
  /** Of which it is left open who wins; of writes that nothing is to rest on then. */
  leftOpen: 0.2,
  mismatchAtOnce: 0.08,
  cancelAtOnce: 0.06,
  atTheDoor: 0.01,
  respondAsync: 0.05,
  doNotWait: 0.03,
};
/** How many writes later a duplicate comes that comes later. */
const LATER = { min: 20, max: 300 } as const;

/** The same seed, count and companies: the same steps. IDs follow from company and key, so answers need not be awaited. */
export function planHour({ seed, operations, companies }: PlanOptions): readonly Step[] {
  const random = createRandom(seed);
  const planner = createPlanner(seed, random);
  const books = companies.map((company) => emptyBooks(company.companyId, company));
  const opening = openingMoves(companies.length);
  for (let made = 0; made < operations; made += 1) {
    planner.emitDue(made);
    const first = opening[made];
    const company = first?.company ?? random.int(0, companies.length - 1);
    planner.add(books[company] as PlannedBooks, company, made, first?.name);
  }
  planner.emitDue(Number.POSITIVE_INFINITY);
  return planner.steps;
}

/** Each company does everything once before chance takes over: an invoice and its finalizing twice, for what is paid and void. */
function openingMoves(companies: number): readonly { company: number; name: string }[] {
  const once = Object.keys(WEIGHTS);
  const names = once.flatMap((name) => {
    if (name === 'voidInvoice') return ['createInvoice', 'finalizeInvoice', 'voidInvoice'];
    if (name === 'createRefund') return ['createRefund', 'createInvoice', 'finalizeInvoice'];
    return [name];
  });
  return names.flatMap((name) => Array.from({ length: companies }, (_, company) => ({ company, name })));
}

function createPlanner(seed: string, random: Random) {
  const steps: Step[] = [];
  const later: { due: number; step: Step; of: number }[] = [];
  const keys = new Map<number, number>();
  /** Numbered in each company for itself, so that companies have the same keys. */
  const nextKey = (company: number) => {
    const number = (keys.get(company) ?? 0) + 1;
    keys.set(company, number);
    return `sim:${seed}:${number}`;
  };
  const emit = (step: Step) => {
    steps.push(step);
    return steps.length - 1;
  };
  const emitLater = (of: number, step: Step, made: number) => {
    later.push({ due: made + random.int(LATER.min, LATER.max), step, of });
  };

  function emitDue(made: number): void {
    for (const one of later.filter(({ due }) => due <= made)) emit({ ...one.step, after: [one.of] });
    later.splice(0, later.length, ...later.filter(({ due }) => due > made));
  }

  /** One write, under a key of its own, and whatever comes with it. */
  function add(books: PlannedBooks, company: number, made: number, wanted?: string): void {
    const plain = wanted !== undefined;
    const odd = (share: number) => !plain && random.chance(share);
    const { name, move } = draw(books, random, odd, wanted);
    const key = nextKey(company);
    const operation = operationOf(name);
    const step = stepOf({ company, key, operation, move, prefer: plain ? undefined : drawPrefer(random) });
    if (odd(SHARES.atTheDoor)) {
      const refused = 'validation_failed';
      emit({ ...step, body: { ...step.body, surprise: true }, kind: 'at the door', refused, fingerprint: null });
      return;
    }
    if (odd(SHARES.cancelBefore)) {
      const cancel = emit({ ...withoutPromise(withoutPrefer(step)), kind: 'cancel' });
      emit({ ...step, refused: 'write_cancelled', after: [cancel] });
      return;
    }
    const rivals = rivalsOf(step, move.made === undefined || random.chance(SHARES.leftOpen), odd);
    const inDoubt = rivals.some(({ kind }) => kind !== 'duplicate');
    const before = random.chance(0.5) ? rivals : [];
    for (const rival of before) emit(rival);
    const of = emit(inDoubt ? withoutPromise(step) : step);
    for (const rival of before.length > 0 ? [] : rivals) emit(rival);
    if (!inDoubt) move.made?.(of, writeId(books.companyId, name, key));
    comeLater(of, step, made, odd);
  }

  /** Sent beside the write, at the same moment as far as the lanes go. */
  function rivalsOf(step: Step, leftOpen: boolean, odd: (share: number) => boolean): Step[] {
    const rivals: Step[] = [];
    while (odd(SHARES.duplicateAtOnce) && rivals.length < 5) {
      rivals.push({ ...withoutPromise(step), kind: 'duplicate' });
    }
    // Settings and access go step by step: without one of them, all that follow would be refused.
    if (!leftOpen || ['updateCompanySettings', 'grantUserAccess'].includes(step.operation.name)) return rivals;
    if (odd(SHARES.mismatchAtOnce))
      rivals.push(otherContent({ ...withoutPromise(step), kind: 'mismatch', atOnce: true }));
    if (odd(SHARES.cancelAtOnce)) rivals.push({ ...withoutPromise(withoutPrefer(step)), kind: 'cancel' });
    return rivals;
  }

  function comeLater(of: number, step: Step, made: number, odd: (share: number) => boolean): void {
    const again = withoutPromise(withoutPrefer(step));
    if (odd(SHARES.duplicateLater)) emitLater(of, { ...again, kind: 'duplicate' }, made);
    if (odd(SHARES.mismatchLater)) emitLater(of, otherContent({ ...again, kind: 'mismatch' }), made);
    if (odd(SHARES.cancelLater)) emitLater(of, { ...again, kind: 'cancel' }, made);
  }

  return { steps, add, emitDue };
}

/** A move that can be made now: the one wanted, or one by chance. */
function draw(books: PlannedBooks, random: Random, odd: (share: number) => boolean, wanted: string | undefined) {
  for (let tries = 0; tries < 1_000; tries += 1) {
    const name = (tries === 0 ? wanted : undefined) ?? random.weighted(WEIGHTS);
    const move = MAKERS[name]?.(books, random, odd);
    if (move !== undefined) return { name, move };
  }
  throw new Error('Bug! Nothing that could be done next');
}

function drawPrefer(random: Random): string | undefined {
  if (random.chance(SHARES.respondAsync)) return 'respond-async';
  return random.chance(SHARES.doNotWait) ? 'wait=0' : undefined;
}

function stepOf(from: {
  company: number;
  key: string;
  operation: Operation;
  move: Move;
  prefer: string | undefined;
}): Step {
  const { company, key, operation, move, prefer } = from;
  const path = operation.path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(move.params?.[name] ?? ''));
  return {
    company,
    key,
    as: move.as ?? 'owner',
    operation,
    path,
    body: move.body,
    ...(prefer && { prefer }),
    after: [...new Set(move.after.filter((step) => step >= 0))],
    kind: 'write',
    ...(move.refused && { refused: move.refused }),
    fingerprint: printOf(operation, path, move.body),
  };
}

function withoutPrefer(step: Step): Step {
  const { prefer: _, ...plain } = step;
  return plain;
}

function withoutPromise(step: Step): Step {
  const { refused: _, ...open } = step;
  return open;
}

function otherContent(step: Step): Step {
  const { operation, path, body } = step;
  const write = { method: operation.method, path, token: '', key: step.key, body: JSON.stringify(body) };
  const other = withOtherContent(operation, write);
  const otherBody = JSON.parse(other.body) as Step['body'];
  return { ...step, path: other.path, body: otherBody, fingerprint: printOf(operation, other.path, otherBody) };
}

/** As the API works it out: of path parameters and body as they are validated, with their defaults. */
function printOf(operation: Operation, path: string, body: Step['body']): string {
  const names = [...operation.path.matchAll(/:(\w+)/g)].map(([, name]) => name ?? '');
  const values = new RegExp(`^${operation.path.replace(/:\w+/g, '([^/]+)')}$`).exec(path) ?? [];
  const params = Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(values[index + 1] ?? '')]));
  return fingerprint(operation.name, parseInput(operation, { params, body }) as never);
}

function operationOf(name: string): Operation {
  const operation = OPERATIONS.find((one) => one.name === name);
  if (operation === undefined) throw new Error(`Bug! No operation ${name}`);
  return operation;
}
