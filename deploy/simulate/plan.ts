import { fingerprint, writeId } from '../../activities/identity.ts';
import { type Operation, parseInput } from '../../activities/operation.ts';
import { withOtherContent } from '../contract/requests.ts';
import { type Actor, type Books, emptyBooks } from './requests/books.ts';
import { expectAnswer, generateRequest, isAllowed, nextOperation, OPERATION_WEIGHTS } from './requests/generate.ts';
import type { Answer } from './requests/operation-model.ts';
import { createRandom, pickWeighted, type Random, seededNumbers } from './requests/random.ts';

/** One request to be sent; its place in the plan is its number. */
export type Step = {
  /** Place of the company among those of the run. */
  readonly company: number;
  readonly key: string;
  readonly as: Actor;
  readonly operation: Operation;
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly prefer?: string;
  /** Steps that must have been answered before this one is sent; all of them come before it in the plan. */
  readonly after: readonly number[];
  readonly kind: 'write' | 'duplicate' | 'mismatch' | 'cancel' | 'invalid';
  /** Sent at the same time as the write with its key; either of them may come first. */
  readonly atOnce?: true;
  /** The code of its answer, whichever other requests are running. */
  readonly refused?: string;
  /** Of the request; null for an invalid one. */
  readonly fingerprint: string | null;
};

export type PlanOptions = {
  readonly seed: string;
  /** How many writes, each with its own key, not counting duplicates, mismatches and cancels. */
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

/** How often a company tries to do an operation once before the random part begins. */
const MAX_TRIES = 20;

/** The same seed, count and companies give the same steps. Answers are not needed: IDs are derived from company and key. */
export function planHour({ seed, operations, companies }: PlanOptions): readonly Step[] {
  const next = seededNumbers(seed);
  const planner = createPlanner(seed, companies.map(booksOf));
  const [plain, random] = [createRandom(next, 0), createRandom(next, 1)];
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
    limits: { closings: ['2025-12-31', '2025-12-01'], asksSteps: false, tolerances: [500], changing: ['newcomer'] },
  });
}

type PlannedCompany = {
  /** Its place among those of the run. */
  readonly company: number;
  readonly books: Books;
  /** The step that created or last changed the resource with this name. */
  readonly changedBy: Map<string, number>;
  writes: number;
};

function createPlanner(seed: string, companies: readonly Books[]) {
  const steps: Step[] = [];
  const late: { due: number; step: Step; of: number }[] = [];
  const planned = companies.map((books, company) => ({ company, books, changedBy: new Map(), writes: 0 }));
  const writes = () => planned.reduce((sum, one) => sum + one.writes, 0);

  function emit(step: Step): number {
    steps.push(step);
    return steps.length - 1;
  }

  function addLate(made: number): void {
    for (const one of late.filter(({ due }) => due <= made)) emit({ ...one.step, after: [one.of] });
    late.splice(0, late.length, ...late.filter(({ due }) => due > made));
  }

  /** Adds one write with a new key and the requests that come with it. Returns whether it should succeed. */
  function add(company: number, wanted: string, random: Random) {
    const own = planned[company] as PlannedCompany;
    addLate(writes());
    // Each company has its own numbers, so that companies have the same keys.
    own.writes += 1;
    const name = nextOperation(own.books, wanted, random);
    const { step, answer } = planStep(own, name, `sim:${seed}:${own.writes}`, random);
    return { name, isAccepted: emitWrite(own, step, answer, random) };
  }

  function emitWrite({ books, changedBy }: PlannedCompany, step: Step, answer: Answer, random: Random): boolean {
    if (random.unusual(SHARES.invalid)) {
      const refused = 'validation_failed';
      emit({ ...step, body: { ...step.body, surprise: true }, kind: 'invalid', refused, fingerprint: null });
      return false;
    }
    if (random.unusual(SHARES.cancelBefore)) {
      const cancel = emit({ ...withoutExpectation(withoutPrefer(step)), kind: 'cancel' });
      emit({ ...step, refused: 'write_cancelled', after: [cancel] });
      return false;
    }
    const concurrent = concurrentRequests(step, answer.apply === undefined || random.chance(SHARES.leftOpen), random);
    const inDoubt = concurrent.some(({ kind }) => kind !== 'duplicate');
    const before = random.chance(0.5) ? concurrent : [];
    for (const request of before) emit(request);
    const of = emit(inDoubt ? withoutExpectation(step) : step);
    for (const request of before.length > 0 ? [] : concurrent) emit(request);
    addLater(of, step, random);
    // If it is unknown which of them decides the outcome, no later request depends on it.
    if (inDoubt) return false;
    const id = writeId(books.companyId, step.operation.name, step.key);
    for (const name of [id, ...(answer.changes ?? [])]) changedBy.set(name, of);
    answer.apply?.();
    return answer.apply !== undefined;
  }

  function addLater(of: number, step: Step, { unusual, nat }: Random): void {
    const again = withoutExpectation(withoutPrefer(step));
    const later = (one: Step) => {
      late.push({ due: writes() + LATER.min + nat(LATER.max - LATER.min), step: one, of });
    };
    if (unusual(SHARES.duplicateLater)) later({ ...again, kind: 'duplicate' });
    if (unusual(SHARES.mismatchLater)) later(otherContent({ ...again, kind: 'mismatch' }));
    if (unusual(SHARES.cancelLater)) later({ ...again, kind: 'cancel' });
  }

  return { steps, writes, add, addLate };
}

/** Requests with the same key as the write, sent at the same time if enough connections are free. */
function concurrentRequests(step: Step, leftOpen: boolean, { unusual }: Random): Step[] {
  const requests: Step[] = [];
  while (unusual(SHARES.duplicateAtOnce) && requests.length < 5) {
    requests.push({ ...withoutExpectation(step), kind: 'duplicate' });
  }
  // Each change of settings or access builds on the one before: if one failed, all later ones would be refused.
  if (!leftOpen || ['updateCompanySettings', 'grantUserAccess'].includes(step.operation.name)) return requests;
  if (unusual(SHARES.mismatchAtOnce)) {
    requests.push(otherContent({ ...withoutExpectation(step), kind: 'mismatch', atOnce: true }));
  }
  if (unusual(SHARES.cancelAtOnce)) requests.push({ ...withoutExpectation(withoutPrefer(step)), kind: 'cancel' });
  return requests;
}

function planStep({ company, books, changedBy }: PlannedCompany, name: string, key: string, random: Random) {
  const { operation, path, request } = generateRequest(books, name, 'owner', random);
  const isAccountants = random.unusual(SHARES.byTheAccountant) && isAllowed(books, operation, 'accountant');
  const actor = isAccountants ? 'accountant' : 'owner';
  const answer = expectAnswer(books, { operation, actor, path, request }, key);
  const prefer = drawPrefer(random);
  const names = [books.userIds[actor] ?? '', ...textsIn(request), ...(answer.restsOn ?? [])];
  const after = names.flatMap((one) => changedBy.get(one) ?? changedBy.get(writeOf(books, one)) ?? []);
  const step: Step = {
    company,
    key,
    as: actor,
    operation,
    path,
    body: request.body,
    ...(prefer && { prefer }),
    after: [...new Set(after)],
    kind: 'write',
    ...(answer.isCertain && answer.code && { refused: answer.code }),
    fingerprint: printOf(operation, path, request.body),
  };
  return { step, answer };
}

function drawPrefer({ unusual }: Random): string | undefined {
  if (unusual(SHARES.respondAsync)) return 'respond-async';
  return unusual(SHARES.doNotWait) ? 'wait=0' : undefined;
}

/** The write that created the bank line or entry with that ID. */
function writeOf({ bankLines, entries }: Books, id: string): string {
  return (bankLines.get(id) ?? entries.get(id))?.writeId ?? '';
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

function withoutPrefer(step: Step): Step {
  const { prefer: _, ...plain } = step;
  return plain;
}

function withoutExpectation(step: Step): Step {
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

/** Computed as in the API: from the validated path parameters and body, with their defaults. */
function printOf(operation: Operation, path: string, body: Step['body']): string {
  const names = [...operation.path.matchAll(/:(\w+)/g)].map(([, name]) => name ?? '');
  const values = new RegExp(`^${operation.path.replace(/:\w+/g, '([^/]+)')}$`).exec(path) ?? [];
  const params = Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(values[index + 1] ?? '')]));
  return fingerprint(operation.name, parseInput(operation, { params, body }) as never);
}
