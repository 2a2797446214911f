import { writeId } from '../../activities/identity.ts';
import {
  attemptsOf,
  changesOf,
  concernedBy,
  keepRoles,
  notePolicies,
  type PlannedCompany,
  stepsBehind,
} from './planned-company.ts';
import { type Decision, decidersOf, enoughOf, refusalOf, type Waiting } from './requests/approvals.ts';
import type { Actor, Books } from './requests/books.ts';
import { expectOutcome, type GeneratedRequest } from './requests/generate.ts';
import { pickWeighted, type Random } from './requests/random.ts';
import { again, type Step } from './step.ts';

/** A write that waits for its approval by the plan, or may wait. */
export type WaitingWrite = {
  readonly own: PlannedCompany;
  /** How many writes there are when it ends. */
  readonly due: number;
  /** The requests with its key so far. */
  readonly sent: readonly number[];
  readonly step: Step;
  readonly generated: GeneratedRequest;
  readonly waiting: Waiting;
  /** Unless the books refuse it meanwhile. Otherwise another request under its key may wait in its place, or nothing. */
  readonly isCertain: boolean;
};

type Emit = (step: Step) => number;

const COURSES = { approved: 60, rejected: 14, cancelled: 12, approvedOrCancelled: 7, approvedOrRejected: 7 } as const;
type Course = keyof typeof COURSES;
const SHARES = { byTheRequester: 0.15, byAnother: 0.2, again: 0.3, waiter: 0.1, afterwards: 0.5, comment: 0.3 };
const DECISIONS = ['approve', 'reject'] as const;
const PEOPLE: readonly Actor[] = ['owner', 'accountant', 'newcomer'];
/** What each later change builds on: none may be left in doubt. */
export const BUILT_UPON: readonly string[] = [
  ...['updateCompanySettings', 'grantUserAccess', 'closeFiscalYear', 'reopenFiscalYear', 'updateApprovalPolicies'],
];

/** Plans how a write that waits ends: who decides what, and what is answered then. */
export function planEnd(write: WaitingWrite, emit: Emit, random: Random): void {
  if (write.isCertain) endCertain(write, emit, random);
  else endDoubt(write, emit, random);
}

function endCertain(write: WaitingWrite, emit: Emit, random: Random): void {
  const { waiting, own, step } = write;
  const ending = createEnding(write, emit, random);
  const people = shuffled(decidersOf(own.books, waiting), random);
  const enough = enoughOf(own.books, waiting, people);
  ending.disturb();
  const course = drawCourse({ enough, people, isBuiltUpon: BUILT_UPON.includes(step.operation.name) }, random);
  const [last = 'owner', ...before] = (enough ?? []).toReversed();
  const isApproved = course.startsWith('approved');
  if (isApproved || random.chance(0.5)) for (const actor of before.toReversed()) ending.approve(actor);
  switch (course) {
    case 'approved':
      ending.execute(last);
      break;
    case 'rejected':
      ending.reject(random.pick(decidersOf(own.books, waiting)));
      break;
    case 'cancelled':
      ending.cancel();
      break;
    case 'approvedOrCancelled':
      ending.race(last, undefined);
      return;
    case 'approvedOrRejected':
      ending.race(last, people.find((actor) => actor !== last && !before.includes(actor)) ?? last);
      return;
  }
  ending.decideAfterwards();
}

function drawCourse(
  {
    enough,
    people,
    isBuiltUpon,
  }: {
    readonly enough: readonly Actor[] | undefined;
    readonly people: readonly Actor[];
    readonly isBuiltUpon: boolean;
  },
  random: Random,
): Course {
  const isPossible = (course: Course) => {
    if (course === 'cancelled') return true;
    // Someone is left who has not approved it yet.
    if (course === 'rejected') return people.length > 0;
    return enough !== undefined && (course === 'approved' || !isBuiltUpon);
  };
  const courses = (Object.entries(COURSES) as [Course, number][]).filter(([course]) => isPossible(course));
  return pickWeighted(random, courses) as Course;
}

function createEnding({ own, step, generated, waiting, sent }: WaitingWrite, emit: Emit, random: Random) {
  const { books } = own;
  let last: readonly number[] = sent;

  /** After what was decided so far; its answer follows from that, unless it is one of two at once. */
  function decide(actor: Actor, kind: Decision, more: Partial<Step> = {}): number {
    const refused = refusalOf(books, waiting, actor, kind);
    const userId = books.userIds[actor] ?? '';
    const after = [...last, ...(more.after ?? []), ...changesOf(own, userId)];
    const number = emit({
      ...again(step),
      ...{ as: actor, userId, kind },
      body: random.chance(SHARES.comment) ? { comment: 'As agreed' } : {},
      ...(refused !== undefined && !more.atOnce && { refused }),
      ...more,
      after: [...new Set(after)],
    });
    if (refused === undefined && !waiting.decisions.has(actor)) waiting.decisions.set(actor, kind);
    keepRoles(own, actor, number);
    return number;
  }

  function end(more: Partial<Step> = {}): number {
    waiting.isOpen = false;
    const number = emit({ ...again(step), kind: 'duplicate', ends: true, ...more, after: last });
    last = [number];
    return number;
  }

  return {
    /** Decisions of people who cannot make them. */
    disturb(): void {
      if (random.chance(SHARES.byTheRequester)) last = [decide(waiting.by, random.pick(DECISIONS))];
      const others = PEOPLE.filter((actor) => refusalOf(books, waiting, actor, 'approve') !== undefined);
      if (random.chance(SHARES.byAnother)) last = [decide(random.pick(others), random.pick(DECISIONS))];
    },
    approve(actor: Actor): void {
      last = [decide(actor, 'approve')];
      if (random.chance(SHARES.again)) last = [decide(actor, random.pick(DECISIONS))];
    },
    /** The last approval: what comes of it follows from the books as they are then. */
    execute(actor: Actor): void {
      const answer = expectOutcome(books, generated, step.key);
      const concerned = concernedBy(books, generated, answer);
      const after = [...stepsBehind(own, generated, answer), ...attemptsOf(own, concerned)];
      if (random.chance(SHARES.waiter)) emit({ ...again(step), kind: 'duplicate', prefer: 'wait=5', after: last });
      last = [decide(actor, 'approve', { after })];
      const approvers = [...waiting.decisions.keys()];
      const number = end({
        approvedBy: approvers.map((one) => books.userIds[one] ?? ''),
        ...(answer.isCertain && answer.code && { refused: answer.code }),
      });
      for (const one of approvers) keepRoles(own, one, number);
      const id = writeId(books.companyId, step.operation.name, step.key);
      for (const name of [id, ...(answer.changes ?? [])]) own.changedBy.set(name, number);
      notePolicies(own, concerned, number);
      answer.apply?.();
    },
    reject(actor: Actor): void {
      last = [decide(actor, 'reject')];
      end({ refused: 'approval_rejected' });
    },
    cancel(): void {
      last = [emit({ ...again(step), kind: 'cancel', after: last })];
      end({ refused: 'write_cancelled' });
    },
    /** The last approval, and at the same time a rejection, or else the cancellation. */
    race(approver: Actor, rejecter: Actor | undefined): void {
      const contradict = () =>
        rejecter === undefined
          ? emit({ ...again(step), kind: 'cancel', atOnce: true, after: last })
          : decide(rejecter, 'reject', { atOnce: true });
      const approve = () => decide(approver, 'approve', { atOnce: true });
      last = random.chance(0.5) ? [approve(), contradict()] : [contradict(), approve()];
      const number = end();
      for (const actor of waiting.decisions.keys()) keepRoles(own, actor, number);
    },
    decideAfterwards(): void {
      if (random.chance(SHARES.afterwards)) decide(random.pick(PEOPLE), random.pick(DECISIONS));
    },
  };
}

/** Whether something waits or not, it is over afterwards. */
function endDoubt({ own, step, sent, waiting }: WaitingWrite, emit: Emit, random: Random): void {
  const { books } = own;
  const [actor] = enoughForEach(books, waiting);
  let last = sent;
  if (actor !== undefined && random.chance(0.5)) {
    const userId = books.userIds[actor] ?? '';
    const after = [...sent, ...changesOf(own, userId)];
    const kind = random.pick(DECISIONS);
    last = [emit({ ...again(step), as: actor, userId, kind, body: {}, atOnce: true, after })];
    keepRoles(own, actor, last[0] ?? 0);
  }
  emit({ ...again(step), kind: 'cancel', after: last });
}

/** Who may decide, whichever of the demands it waits for. */
function enoughForEach(books: Books, waiting: Waiting): readonly Actor[] {
  const ofEach = waiting.demands.map((demand) => decidersOf(books, { ...waiting, demands: [demand] }));
  return PEOPLE.filter((actor) => ofEach.length > 0 && ofEach.every((actors) => actors.includes(actor)));
}

function shuffled<T>(of: readonly T[], { nat }: Random): T[] {
  const rest = [...of];
  return of.flatMap(() => rest.splice(nat(rest.length), 1));
}
