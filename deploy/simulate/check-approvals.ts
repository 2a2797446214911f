import type pg from 'pg';
import { pendingWriteOf, problemOf, tellsOutcome } from '../client/src/answers.ts';
import type { Finding } from './check-answers.ts';
import type { Demand } from './requests/operation-model.ts';
import type { Outcome } from './run.ts';
import { isDecision } from './step.ts';

/** A write that waits or has waited, with its outcome. */
type Request = {
  readonly company_id: string;
  readonly key: string;
  readonly fingerprint: string;
  readonly demands: readonly Demand[];
  readonly approved_by: string | null;
  readonly is_open: boolean;
  readonly outcome: string | null;
  /** Whom the event of its success names. */
  readonly named: string | null;
};

type Decided = {
  readonly company_id: string;
  readonly key: string;
  readonly user_id: string;
  readonly decision: 'approved' | 'rejected';
};

/** Compares what waited, who decided and what came of it with the plan. */
export async function checkApprovals(
  auditor: pg.Client,
  outcomes: readonly Outcome[],
  companyIds: readonly string[],
): Promise<readonly Finding[]> {
  const { rows: requests } = await auditor.query<Request>(
    `SELECT r.company_id, r.idempotency_key AS key, r.arguments ->> 'fingerprint' AS fingerprint, r.demands, r.approved_by,
       r.closed_at IS NULL AS is_open, w.outcome, o.payload ->> 'approvedBy' AS named
     FROM approval_requests r
     LEFT JOIN idempotent_writes w ON w.company_id = r.company_id AND w.idempotency_key = r.idempotency_key
     LEFT JOIN outbox o ON o.company_id = w.company_id AND o.write_id = w.write_id
     WHERE r.company_id = ANY ($1)`,
    [companyIds],
  );
  const { rows: decisions } = await auditor.query<Decided>(
    `SELECT company_id, idempotency_key AS key, user_id, decision FROM approval_decisions WHERE company_id = ANY ($1)`,
    [companyIds],
  );
  const placeOf = (one: { readonly company_id: string; readonly key: string }) => `${one.company_id}/${one.key}`;
  const asked = new Map(requests.map((request) => [placeOf(request), request]));
  const made = new Map(decisions.map((one) => [`${placeOf(one)} ${one.user_id}`, one]));
  const answered = outcomes.map((outcome): Answered => {
    const { step, final } = outcome;
    const place = `${companyIds[step.company]}/${step.key}`;
    const code = final && problemOf(final)?.code;
    return { ...outcome, place, code, request: asked.get(place), decided: made.get(`${place} ${step.userId}`) };
  });
  const sent = new Map(
    answered.filter(({ step }) => isDecision(step)).map((one) => [`${one.place} ${decisionOf(one)}`, one]),
  );
  const approversOf = (place: string) =>
    decisions.filter((one) => placeOf(one) === place && one.decision === 'approved').map(({ user_id: id }) => id);
  const ends = answered.filter(({ step }) => step.ends);
  return [
    finding(
      'A write waits exactly where a policy asks for it, and for what it asks',
      answered.filter(isKnown),
      waitsAsPlanned,
    ),
    finding(
      'A write is told to wait where a request for its approval is kept',
      answered.filter(isWaiting),
      isOfRequest,
    ),
    finding(
      'A decision is kept exactly where it was made, and else refused with the expected code',
      answered.filter(({ step }) => isDecision(step)),
      isDecidedSo,
    ),
    finding('A decision that is kept was sent by the person it names', decisions, (one) =>
      sent.has(`${placeOf(one)} ${one.user_id} ${one.decision}`),
    ),
    finding('A write that has waited ends as was decided', ends, endsSo),
    finding('A write that was approved names whoever the plan says', ends, (one) =>
      isApprovedSo(one, approversOf(one.place)),
    ),
    finding('Nothing is left waiting', requests, (one) => !one.is_open && one.outcome !== null),
  ];
}

type Answered = Outcome & {
  readonly place: string;
  readonly code: string | undefined;
  readonly request: Request | undefined;
  /** By the person who sent this. */
  readonly decided: Decided | undefined;
};

const isKnown = ({ step, final }: Answered) => step.asked !== undefined && final !== undefined;
const isWaiting = ({ final }: Answered) => final?.status === 202;
const isOfRequest = ({ step, request }: Answered) => request?.fingerprint === step.fingerprint;

/** Other requests may have come first, so that the books refuse it: then nothing is asked. */
function waitsAsPlanned({ step, final, request }: Answered): boolean {
  const { asked = [] } = step;
  if (asked.length === 0) return request === undefined;
  if (request === undefined) return final !== undefined && tellsOutcome(final) && problemOf(final) !== undefined;
  const isTold = final !== undefined && pendingWriteOf(final) !== undefined;
  return isTold && textOf(request.demands) === textOf(asked);
}

function textOf(demands: readonly Demand[]): string {
  return demands
    .map(({ roles, count }) => JSON.stringify([roles.toSorted(), count]))
    .toSorted()
    .join(' ');
}

function decisionOf({ step }: Answered): string {
  return `${step.userId} ${step.kind === 'approve' ? 'approved' : 'rejected'}`;
}

/** What the decision about a key under which nothing has waited can be refused with. */
const NOTHING_WAITED = ['approval_not_pending', 'write_not_found', 'forbidden', 'not_a_member'];
/** What one of two decisions at once can be refused with. */
const TOO_LATE = ['approval_not_pending', 'already_decided'];

function isDecidedSo(one: Answered): boolean {
  const { step, final, code = '', request, decided } = one;
  const isMade = final?.status === 200;
  const isKept = decided !== undefined && decisionOf(one) === `${decided.user_id} ${decided.decision}`;
  // Who has decided about their own access may be no member any more when they ask again.
  if (isKept && code === 'not_a_member') return code === step.refused;
  if (isMade !== isKept) return false;
  if (isMade) return step.refused === undefined && final.text.includes(step.userId);
  if (request === undefined) return NOTHING_WAITED.includes(code);
  return step.atOnce ? TOO_LATE.includes(code) : code === step.refused;
}

function endsSo({ step, code, request, final }: Answered): boolean {
  if (request === undefined || step.refused === undefined) return final !== undefined && tellsOutcome(final);
  return code === step.refused;
}

/** The event of a success names the last of them, as the record does. */
function isApprovedSo({ step, request }: Answered, approvers: readonly string[]): boolean {
  if (request === undefined) return true;
  const isSuccess = request.outcome === 'succeeded';
  if (isSuccess && (request.approved_by === null || request.named !== request.approved_by)) return false;
  if (step.approvedBy === undefined) return true;
  return request.approved_by === step.approvedBy.at(-1) && isSameSet(approvers, step.approvedBy);
}

function isSameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((id) => other.includes(id));
}

function finding<T extends Answered | Request | Decided>(
  promise: string,
  of: readonly T[],
  holds: (one: T) => boolean,
): Finding {
  return { promise, checked: of.length, wrong: of.filter((one) => !holds(one)).map(shown) };
}

function shown(one: Answered | Request | Decided): string {
  if (!('step' in one)) return JSON.stringify(one);
  const { step, final, place, request, decided } = one;
  const answer =
    final === undefined
      ? `no answer but ${JSON.stringify(one.onTheWay)}`
      : `${final.status} ${final.text.slice(0, 300)}`;
  const plan = JSON.stringify({ asked: step.asked, refused: step.refused, approvedBy: step.approvedBy });
  const record = JSON.stringify({ request, decided });
  return `${place} ${step.operation.name} (${step.kind} by ${step.as}): ${answer}; planned: ${plan}; in the record: ${record}`;
}
