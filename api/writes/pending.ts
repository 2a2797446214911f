import {
  type Approval,
  approvalsNeeded,
  isApproved,
  isConcerned,
  metDemands,
} from '../../activities/approvals/approval.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import type { Reader } from '../reads/read.ts';
import { mayReadBody, mayReadWrite } from './access.ts';
import { documentOf } from './document.ts';
import { beginningOf, type TemporalUi, type TimelineItem, type WriteResource, workflowLink } from './resource.ts';
import { toTimeline } from './timeline.ts';

/** Who may read a write that waits: those who may read such writes, and those who may decide about it, or have. */
export function mayReadPending(approval: Approval, reader: Reader, operations: readonly Operation[]): boolean {
  return isConcerned(approval, reader) || mayReadWrite(knownOf(approval), reader, operations);
}

/** Describes a write that waits for its approval, or has just been approved and is about to be executed. */
export function pendingWrite(
  approval: Approval,
  {
    reader,
    operations,
    ui,
  }: { readonly reader: Reader; readonly operations: readonly Operation[]; readonly ui: TemporalUi },
  audited: readonly TimelineItem[] = [],
): WriteResource {
  const { arguments: args } = approval;
  const isSeen = isConcerned(approval, reader) || mayReadBody(knownOf(approval), reader, operations);
  const write = {
    key: approval.key,
    writeId: approval.writeId,
    operation: args.operation,
    type: operations.find(({ name }) => name === args.operation)?.type ?? null,
    state: isApproved(approval) ? ('running' as const) : ('pending_approval' as const),
    status: null,
    location: null,
    resource: null,
    actor: { userId: approval.userId },
    requestId: args.request.id,
    requestedAt: instant(approval.requestedAt),
    completedAt: null,
    attempts: 1,
    workflow: workflowLink(workflowIdOf(args.companyId, approval.key), null, ui),
  };
  return {
    ...write,
    document: isSeen ? documentOf(args.operation, { request: args.input.body }, operations) : null,
    response: null,
    request: isSeen ? args.input : null,
    ...approvalMembers(approval),
    ...toTimeline([...beginningOf(write), ...approvalItems(approval), ...audited]),
  };
}

/** The members of a write that an approval policy has matched, whatever has become of it. */
export function approvalMembers(
  approval: Approval,
): Pick<WriteResource, 'approvals' | 'approvalsNeeded' | 'demands' | 'expiresAt' | 'approvedBy'> {
  return {
    approvals: approval.decisions.map(({ userId, decision, comment, at }) => ({
      userId,
      decision,
      comment,
      at: instant(at),
    })),
    approvalsNeeded: approvalsNeeded(approval),
    demands: metDemands(approval),
    expiresAt: approval.isOpen ? instant(approval.expiresAt) : null,
    approvedBy: approval.approvedBy,
  };
}

export function approvalItems({ pendingSince, decisions, demands, expiresAt }: Approval): TimelineItem[] {
  const needed = demands.map(({ roles, count }) => `${count} by ${roles.join(' or ')}`).join(', ');
  return [
    {
      at: instant(pendingSince),
      kind: 'approval_requested',
      detail: `Approvals needed, until ${instant(expiresAt)}: ${needed}`,
    },
    ...decisions.map(({ userId, decision, comment, at }) => ({
      at: instant(at),
      kind: decision === 'approved' ? ('approved' as const) : ('disapproved' as const),
      userId,
      ...(comment === null ? {} : { detail: comment }),
    })),
  ];
}

function knownOf({ arguments: { operation }, userId }: Approval) {
  return { operation, userId };
}

/** In JSON, PostgreSQL writes a time with the offset of the session. */
function instant(time: string): string {
  return new Date(time).toISOString();
}
