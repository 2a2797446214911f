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
  readonly companies: readonly CompanyOfPlan[];
};

/** The accountant and the newcomer are users of no company: the one becomes its accountant, the other's roles come and go. */
type CompanyOfPlan = Readonly<Record<'companyId' | 'ownerId' | 'accountantId' | 'newcomerId', string>>;

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
  invalid: 0.02,
  respondAsync: 0.05,
  doNotWait: 0.03,
  byTheAccountant: 0.2,
};
/** How many writes later a duplicate comes that comes later. */
const LATER = { min: 20, max: 300 } as const;

/** How often a company tries to do an operation once, before chance takes over. */
const MAX_TRIES = 20;

/** The same seed, count and companies: the same steps. IDs follow from company and key, so answers need not be awaited. */
export function planHour({ seed, operations, companies }: PlanOptions): readonly Step[] {
  const next = seededNumbers(seed);
  const planner = createPlanner(seed, companies.map(booksOf));
  const [plain, random] = [createRandom(next, 0), createRandom(next, 1)];
  // Each company does everything once, and before it what that needs: by requests that are sent once and should succeed.
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
    // Requests that are to succeed are dated later: whichever change of the settings comes first, they are not refused.
    limits: { closings: ['2025-12-31', '2025-12-01'], changing: ['newcomer'] },
  });
}

type PlannedCompany = {
  /** Its place among those of the run. */
  readonly company: number;
  readonly books: Books;
  /** The step that made, or last changed, what has this name. */
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

  /** One write, under a key of its own, and whatever comes with it; answers whether it should succeed. */
  function add(company: number, wanted: string, random: Random) {
    const own = planned[company] as PlannedCompany;
    addLate(writes());
    // Numbered in each company for itself, so that companies have the same keys.
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
    const rivals = rivalsOf(step, answer.apply === undefined || random.chance(SHARES.leftOpen), random);
    const inDoubt = rivals.some(({ kind }) => kind !== 'duplicate');
    const before = random.chance(0.5) ? rivals : [];
    for (const rival of before) emit(rival);
    const of = emit(inDoubt ? withoutExpectation(step) : step);
    for (const rival of before.length > 0 ? [] : rivals) emit(rival);
    addLater(of, step, random);
    // Where it is in doubt which of them makes the outcome, nothing rests on it.
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

/** Sent beside the write, at the same moment as far as the connections are free. */
function rivalsOf(step: Step, leftOpen: boolean, { unusual }: Random): Step[] {
  const rivals: Step[] = [];
  while (unusual(SHARES.duplicateAtOnce) && rivals.length < 5) {
    rivals.push({ ...withoutExpectation(step), kind: 'duplicate' });
  }
  // Settings and access go step by step: without one of them, all that follow would be refused.
  if (!leftOpen || ['updateCompanySettings', 'grantUserAccess'].includes(step.operation.name)) return rivals;
  if (unusual(SHARES.mismatchAtOnce)) {
    rivals.push(otherContent({ ...withoutExpectation(step), kind: 'mismatch', atOnce: true }));
  }
  if (unusual(SHARES.cancelAtOnce)) rivals.push({ ...withoutExpectation(withoutPrefer(step)), kind: 'cancel' });
  return rivals;
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

/** The write that made the line or entry of that ID. */
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

/** As the API works it out: of path parameters and body as they are validated, with their defaults. */
function printOf(operation: Operation, path: string, body: Step['body']): string {
  const names = [...operation.path.matchAll(/:(\w+)/g)].map(([, name]) => name ?? '');
  const values = new RegExp(`^${operation.path.replace(/:\w+/g, '([^/]+)')}$`).exec(path) ?? [];
  const params = Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(values[index + 1] ?? '')]));
  return fingerprint(operation.name, parseInput(operation, { params, body }) as never);
}
