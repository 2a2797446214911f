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

/** How many people have to approve, by the demand that asks for most. */
export function approvalsNeeded({ demands }: Pick<Approval, 'demands'>): number {
  return Math.max(...demands.map(({ count }) => count));
}

/** The approvals that count: of people who hold a role that one of the demands asks for. */
function countedApprovals({ demands, decisions }: Pick<Approval, 'demands' | 'decisions'>): readonly Decision[] {
  return decisions.filter(({ decision, roles }) => decision === 'approved' && mayDecide({ demands }, roles));
}

/** Whether a holder of these roles may approve and reject. */
export function mayDecide({ demands }: Pick<Approval, 'demands'>, roles: readonly string[]): boolean {
  return demands.some((demand) => holdsOneOf(roles, demand.roles));
}

/** The last of the approvals, if they meet each of the demands. */
export function approvedBy(approval: Pick<Approval, 'demands' | 'decisions'>): string | undefined {
  const counted = countedApprovals(approval);
  const isMet = approval.demands.every(
    ({ roles, count }) => counted.filter((decision) => holdsOneOf(decision.roles, roles)).length >= count,
  );
  return isMet ? counted.at(-1)?.userId : undefined;
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
    approvals: countedApprovals(approval).length,
    approvalsNeeded: approvalsNeeded(approval),
    roles: [...new Set(approval.demands.flatMap(({ roles }) => roles))],
  };
}
