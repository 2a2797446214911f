import type { PendingResult, WriteArguments } from '../../workflows/messages.ts';
import { holdsOneOf } from '../roles.ts';
import type { Demand } from './policies.ts';

/** A request for approval as `approval_of` tells it, with the decisions so far. Times are RFC 3339, by the database's clock. */
export type Approval = {
  readonly key: string;
  readonly writeId: string;
  /** Who asked for the write. */
  readonly userId: string;
  /** Of its run: whoever finds none starts one. */
  readonly arguments: WriteArguments;
  readonly demands: readonly Demand[];
  readonly requestedAt: string;
  readonly pendingSince: string;
  readonly expiresAt: string;
  /** At most 0 once it has expired. */
  readonly expiresInMs: number;
  /** False once the key has its outcome. */
  readonly isOpen: boolean;
  /** Who gave the last approval of those that the write was executed with. */
  readonly approvedBy: string | null;
  /** The oldest first. */
  readonly decisions: readonly Decision[];
};

type Decision = {
  readonly userId: string;
  readonly decision: 'approved' | 'rejected';
  readonly comment: string | null;
  readonly at: string;
  /** Which the person holds now: an approval of someone who may no longer approve does not count. */
  readonly roles: readonly string[];
};

/** Undefined where nothing waits: the key has its outcome, or was never asked about. */
export function openApproval(approval: Approval | null | undefined): Approval | undefined {
  return approval?.isOpen ? approval : undefined;
}

/** How many people have to approve at least, by the demand that asks for most: one person can count for several demands. */
export function approvalsNeeded({ demands }: Pick<Approval, 'demands'>): number {
  return Math.max(...demands.map(({ count }) => count));
}

/** The approvals that count: of people who hold a role that one of the demands asks for. */
function countedApprovals({ demands, decisions }: Pick<Approval, 'demands' | 'decisions'>): readonly Decision[] {
  return decisions.filter(({ decision, roles }) => decision === 'approved' && mayDecide({ demands }, roles));
}

/** Each demand, and how many approvals of people with one of its roles there are. What was executed had enough. */
export function metDemands({
  demands,
  decisions,
  approvedBy: approver,
}: Pick<Approval, 'demands' | 'decisions' | 'approvedBy'>): readonly MetDemand[] {
  return demands.map(({ roles, count }) => {
    const given = decisions.filter((one) => one.decision === 'approved' && holdsOneOf(one.roles, roles)).length;
    return { roles, count, given: approver === null ? given : Math.max(given, count) };
  });
}

export type MetDemand = Demand & { readonly given: number };

/** Whether a holder of these roles may approve and reject. */
export function mayDecide({ demands }: Pick<Approval, 'demands'>, roles: readonly string[]): boolean {
  return demands.some((demand) => holdsOneOf(roles, demand.roles));
}

/** Who may decide about the write, or has done so, may read it. */
export function isConcerned(
  { demands, decisions }: Pick<Approval, 'demands' | 'decisions'>,
  { userId, roles }: { readonly userId: string; readonly roles: readonly string[] },
): boolean {
  return mayDecide({ demands }, roles) || decisions.some((decision) => decision.userId === userId);
}

/** The last of the approvals, if they meet each of the demands. */
export function approvedBy(approval: Pick<Approval, 'demands' | 'decisions'>): string | undefined {
  const counted = countedApprovals(approval);
  const isMet = approval.demands.every(
    ({ roles, count }) => counted.filter((decision) => holdsOneOf(decision.roles, roles)).length >= count,
  );
  return isMet ? counted.at(-1)?.userId : undefined;
}

/** Whether each of the demands is met as of now, so that nothing but its run is waited for. */
export function isApproved(approval: Pick<Approval, 'demands' | 'decisions'>): boolean {
  return approvedBy(approval) !== undefined;
}

/** As the run of the write is told it. */
export function pendingResult(approval: Approval): PendingResult {
  const { writeId, expiresAt, expiresInMs } = approval;
  return {
    outcome: 'pending_approval',
    statusCode: 202,
    writeId,
    first: false,
    expiresAt: new Date(expiresAt).toISOString(),
    expiresInMs: Math.max(1, expiresInMs),
    demands: metDemands(approval),
  };
}
