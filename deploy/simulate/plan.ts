import { writeId } from '../../activities/identity.ts';
import { BUILT_UPON, planEnd, type WaitingWrite } from './decisions.ts';
import {
  attemptsOf,
  concernedBy,
  noteAttempts,
  notePolicies,
  type PlannedCompany,
  plannedCompany,
  stepsBehind,
} from './planned-company.ts';
import { possibleDemands } from './requests/approvals.ts';
import { type Books, emptyBooks } from './requests/books.ts';
import {
  expectAnswer,
  type GeneratedRequest,
  generateRequest,
  isAllowed,
  nextOperation,
  OPERATION_WEIGHTS,
} from './requests/generate.ts';
import type { Answer } from './requests/operation-model.ts';
import { createRandom, pickWeighted, type Random, seededNumbers } from './requests/random.ts';
import { again, otherContent, printOf, type Step, withoutExpectation } from './step.ts';

export type PlanOptions = {
  readonly seed: string;
  /** How many writes, each with its own key, not counting duplicates, mismatches, cancels and decisions. */
  readonly operations: number;
  readonly companies: readonly CompanyOfPlan[];
};

/** The accountant and the newcomer begin without a company. The newcomer's roles are granted and revoked. */
type CompanyOfPlan = Readonly<Record<'companyId' | 'ownerId' | 'accountantId' | 'newcomerId', string>>;

/** The share of writes that are not simply sent once. */
const SHARES = {
  duplicateAtOnce: 0.12,
  duplicateLater: 0.08,
  mismatchLater: 0.03,
  cancelBefore: 0.01,
  cancelLater: 0.01,
  /** May get a concurrent mismatch or cancel with an unknown winner; then no later request may depend on the write. */
  leftOpen: 0.2,
  mismatchAtOnce: 0.08,
  cancelAtOnce: 0.06,
  invalid: 0.02,
  respondAsync: 0.05,
  doNotWait: 0.03,
  byTheAccountant: 0.2,
};
/** How many writes later a later duplicate is sent. */
const LATER = { min: 20, max: 300 } as const;
/** The same for the decisions about a write that waits. */
const DECIDED = { min: 2, max: 60 } as const;

/** How often a company tries to do an operation once before the random part begins. */
const MAX_TRIES = 20;

/** The same seed, count and companies give the same steps. Answers are not needed: IDs are derived from company and key. */
export function planHour({ seed, operations, companies }: PlanOptions): readonly Step[] {
  const next = seededNumbers(seed);
  const [plain, random] = [createRandom(next, 0), createRandom(next, 1)];
  const planner = createPlanner(seed, companies.map(booksOf), random);
  // First, each company does each operation once, after its prerequisites: requests that are sent once and should succeed.
  for (const [name] of OPERATION_WEIGHTS) {
    for (const company of companies.keys()) {
      for (let tries = 0; tries < MAX_TRIES && planner.writes() < operations; tries += 1) {
        const write = planner.add(company, name, plain);
        if (write.name === name && write.isAccepted) break;
      }
    }
  }
  while (planner.writes() < operations) {
    planner.add(random.nat(companies.length), pickWeighted(random, OPERATION_WEIGHTS), random);
  }
  planner.addLate(Number.POSITIVE_INFINITY);
  return planner.steps;
}

function booksOf({ companyId, ownerId, accountantId, newcomerId }: CompanyOfPlan): Books {
  return emptyBooks({
    companyId,
    userIds: { owner: ownerId, accountant: accountantId, newcomer: newcomerId },
    members: { owner: 'owner' },
    // Requests that should succeed have later dates, and a reason for a larger difference, so that no order of the settings'
    // changes refuses them.
    limits: { closings: ['2025-12-31', '2025-12-01'], isSequential: false, tolerances: [500], changing: ['newcomer'] },
  });
}

function createPlanner(seed: string, companies: readonly Books[], endings: Random) {
  const steps: Step[] = [];
  const late: { due: number; step: Step; of: number }[] = [];
  const waiting: WaitingWrite[] = [];
  const planned = companies.map((books, company) => plannedCompany(company, books));
  const writes = () => planned.reduce((sum, one) => sum + one.writes, 0);

  function emit(step: Step): number {
    steps.push(step);
    return steps.length - 1;
  }

  function addLate(made: number): void {
    for (const one of late.filter(({ due }) => due <= made)) emit({ ...one.step, after: [one.of] });
    late.splice(0, late.length, ...late.filter(({ due }) => due > made));
    const over = waiting.filter(({ due }) => due <= made);
    waiting.splice(0, waiting.length, ...waiting.filter(({ due }) => due > made));
    for (const one of over) planEnd(one, emit, endings);
  }

  /** Adds one write with a new key and the requests that come with it. Returns whether it should succeed. */
  function add(company: number, wanted: string, random: Random) {
    const own = planned[company] as PlannedCompany;
    addLate(writes());
    // Each company has its own numbers, so that companies have the same keys.
    own.writes += 1;
    const name = nextOperation(own.books, wanted, random);
    const write = planStep(own, name, `sim:${seed}:${own.writes}`, random);
    return { name, isAccepted: emitWrite(own, write, random) };
  }

  function emitWrite(own: PlannedCompany, { step, answer, generated }: PlannedWrite, random: Random): boolean {
    const { books, changedBy } = own;
    const { name } = step.operation;
    if (random.unusual(SHARES.invalid)) {
      const refused = 'validation_failed';
      const body = { ...step.body, surprise: true };
      emit({ ...withoutExpectation(step), body, kind: 'invalid', refused, fingerprint: null });
      return false;
    }
    if (random.unusual(SHARES.cancelBefore)) {
      const cancel = emit({ ...again(step), kind: 'cancel' });
      emit({ ...withoutExpectation(step), refused: 'write_cancelled', after: [cancel] });
      return false;
    }
    const isRefused = answer.apply === undefined && answer.demands === undefined;
    const concurrent = concurrentRequests(step, isRefused || random.chance(SHARES.leftOpen), random);
    const inDoubt = concurrent.some(({ kind }) => kind !== 'duplicate');
    const isFirst = random.chance(0.5);
    const before = (isFirst ? concurrent : []).map(emit);
    const of = emit(inDoubt ? withoutExpectation(step) : step);
    const sent = [...before, of, ...(isFirst ? [] : concurrent).map(emit)];
    noteAttempts(own, name, sent);
    const isCertain = answer.demands !== undefined && !inDoubt;
    addLater(of, step, random, !isCertain);
    const demands = answer.demands ?? possibleDemands(books, name);
    if (isCertain || (demands.length > 0 && (inDoubt || (isRefused && !answer.isCertain)))) {
      const due = writes() + DECIDED.min + random.nat(DECIDED.max - DECIDED.min);
      const open = { by: step.as, demands, decisions: new Map(), isOpen: true };
      waiting.push({ own, due, sent, step, generated, waiting: open, isCertain });
    }
    // If it is unknown which of them decides the outcome, no later request depends on it.
    if (inDoubt) return false;
    const id = writeId(books.companyId, name, step.key);
    for (const one of [id, ...(answer.changes ?? [])]) changedBy.set(one, of);
    notePolicies(own, concernedBy(books, generated, answer), of);
    answer.apply?.();
    return answer.apply !== undefined;
  }

  function addLater(of: number, step: Step, { unusual, nat }: Random, mayCancel: boolean): void {
    const later = (one: Step) => {
      late.push({ due: writes() + LATER.min + nat(LATER.max - LATER.min), step: one, of });
    };
    if (unusual(SHARES.duplicateLater)) later({ ...again(step), kind: 'duplicate' });
    if (unusual(SHARES.mismatchLater)) later(otherContent({ ...again(step), kind: 'mismatch' }));
    if (unusual(SHARES.cancelLater) && mayCancel) later({ ...again(step), kind: 'cancel' });
  }

  return { steps, writes, add, addLate };
}

/** Requests with the same key as the write, sent at the same time if enough connections are free. */
function concurrentRequests(step: Step, leftOpen: boolean, { unusual }: Random): Step[] {
  const requests: Step[] = [];
  while (unusual(SHARES.duplicateAtOnce) && requests.length < 5) {
    requests.push({ ...withoutExpectation(step), kind: 'duplicate' });
  }
  // If one of these failed, all later ones would be refused.
  if (!leftOpen || BUILT_UPON.includes(step.operation.name)) return requests;
  if (unusual(SHARES.mismatchAtOnce)) {
    requests.push(otherContent({ ...withoutExpectation(step), kind: 'mismatch', atOnce: true }));
  }
  if (unusual(SHARES.cancelAtOnce)) requests.push({ ...again(step), kind: 'cancel' });
  return requests;
}

type PlannedWrite = { readonly step: Step; readonly answer: Answer; readonly generated: GeneratedRequest };

function planStep(own: PlannedCompany, name: string, key: string, random: Random): PlannedWrite {
  const { company, books } = own;
  const drawn = generateRequest(books, name, 'owner', random);
  const { operation, path, request } = drawn;
  const isAccountants = random.unusual(SHARES.byTheAccountant) && isAllowed(books, operation, 'accountant');
  const actor = isAccountants ? 'accountant' : 'owner';
  const generated = { ...drawn, actor } as const;
  const answer = expectAnswer(books, generated, key);
  const prefer = drawPrefer(random);
  const isKnown = answer.apply !== undefined || answer.demands !== undefined;
  const after = [...stepsBehind(own, generated, answer), ...attemptsOf(own, concernedBy(books, generated, answer))];
  const step: Step = {
    company,
    key,
    as: actor,
    userId: books.userIds[actor] ?? '',
    operation,
    path,
    body: request.body,
    ...(prefer && { prefer }),
    after: [...new Set(after)],
    kind: 'write',
    ...(answer.isCertain && answer.code && { refused: answer.code }),
    ...(isKnown && { asked: answer.demands ?? [] }),
    fingerprint: printOf(operation, path, request.body),
  };
  return { step, answer, generated };
}

function drawPrefer({ unusual }: Random): string | undefined {
  if (unusual(SHARES.respondAsync)) return 'respond-async';
  return unusual(SHARES.doNotWait) ? 'wait=0' : undefined;
}
