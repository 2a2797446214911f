import {
  type Approval,
  approvalsNeeded,
  isApproved,
  isConcerned,
  metDemands,
} from '../../activities/approvals/approval.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
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
  const isSeen = isConcerned(approval, reader) || mayReadRequest(approval, reader, operations);
  const write = {
    key: approval.key,
    ...askedWrite(approval, operations, ui),
    state: isApproved(approval) ? ('running' as const) : ('pending_approval' as const),
    status: null,
    location: null,
    resource: null,
    completedAt: null,
    attempts: 1,
  };
  return {
    ...write,
    document: isSeen
      ? documentOf(approval.arguments.operation, { request: approval.arguments.input.body }, operations)
      : null,
    response: null,
    request: isSeen ? approval.arguments.input : null,
    ...approvalMembers(approval),
    ...toTimeline([...beginningOf(write), ...approvalItems(approval), ...audited]),
  };
}

/** Of a request for approval, what tells of its write. */
export type Asked = Pick<Approval, 'key' | 'writeId' | 'userId' | 'requestedAt'> & {
  readonly arguments: Pick<WriteArguments, 'companyId' | 'operation'> & {
    readonly request: Pick<WriteArguments['request'], 'id'>;
  };
};

/** The members of a write that its request for approval tells, whatever becomes of it. */
export function askedWrite(
  { key, writeId, userId, requestedAt, arguments: args }: Asked,
  operations: readonly Operation[],
  ui: TemporalUi,
) {
  const { operation, companyId, request } = args;
  return {
    writeId,
    operation,
    type: operations.find(({ name }) => name === operation)?.type ?? null,
    actor: { userId },
    requestId: request.id,
    requestedAt: instant(requestedAt),
    workflow: workflowLink(workflowIdOf(companyId, key), null, ui),
  };
}

/** Who may read what is asked for, whether they may decide about it or not. */
export function mayReadRequest(approval: Approval, reader: Reader, operations: readonly Operation[]): boolean {
  return mayReadBody(knownOf(approval), reader, operations);
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
