import type { WriteArguments } from '../../workflows/messages.ts';
import type { Approval } from '../approvals/approval.ts';
import type { Tx } from '../database.ts';
import {
  type Operation,
  type RejectionKind,
  WORKFLOW_TRIGGERED,
  type WriteContext,
  type Written,
} from '../operation.ts';
import { type Problem, problemType, writeUrl } from '../problem.ts';
import { NUMBER_TO_COME, type NumberKind } from '../resources/document-number.ts';
import { recordSecurityFacts, type SecurityFact } from '../security/security-row.ts';
import { Rejection } from './rejection.ts';
import type { WriteRow } from './write-row.ts';

/** What the end of a write records: its outcome and answer, its audit row, its event. */
export type Finish = {
  readonly outcome: 'succeeded' | 'rejected';
  readonly statusCode: number;
  /** As the bytes that every answer sends, or what comes before the number that is `toCome`. */
  readonly body: string;
  /** Where the end of the transaction fills in a number: its kind, and the rest of the body. */
  readonly toCome: { readonly kind: NumberKind; readonly rest: string } | undefined;
  readonly location: string | undefined;
  readonly resource: { readonly type: string; readonly id: string } | undefined;
  readonly error: { readonly code: string; readonly message: string } | undefined;
  readonly event: { readonly id: string; readonly kind: string; readonly payload: object } | undefined;
  readonly auditMetadata: Readonly<Record<string, unknown>>;
  readonly security: readonly SecurityFact[];
};

/** `approver`: who gave the last of the approvals that a policy has asked for. */
export function successOf(
  operation: Operation,
  args: WriteArguments,
  context: WriteContext,
  written: Written,
  approver?: string,
): Finish {
  const location = written.location ?? `${operation.resource.reads}/${encodeURIComponent(written.resourceId)}`;
  const resource = { type: operation.resource.type, id: written.resourceId, url: location };
  const approved = approver === undefined ? {} : { approvedBy: approver };
  return {
    outcome: 'succeeded',
    statusCode: operation.successStatus,
    ...bodyOf(operation, written),
    location,
    resource,
    error: undefined,
    event: {
      id: context.rowId('outbox', 0),
      kind: operation.event,
      payload: { resource, requestId: args.request.id, ...written.eventPayload, ...approved },
    },
    auditMetadata: { ...written.auditMetadata, ...approved },
    security: written.security ?? [],
  };
}

function bodyOf({ name, takesNumber }: Operation, { body }: Written): Pick<Finish, 'body' | 'toCome'> {
  const text = JSON.stringify(body);
  if (body['number'] !== NUMBER_TO_COME) return { body: text, toCome: undefined };
  // Only the ID stands before it, so the first is the document's own, whatever a client has written.
  const place = text.indexOf(EMPTY_NUMBER) + EMPTY_NUMBER.length - 1;
  if (takesNumber === undefined) throw new Error(`Bug! ${name} does not declare which number it takes`);
  return { body: text.slice(0, place), toCome: { kind: takesNumber, rest: text.slice(place) } };
}

const EMPTY_NUMBER = `"number":${JSON.stringify(NUMBER_TO_COME)}`;

export function rejectionOf(operation: Operation, args: WriteArguments, rejection: Rejection): Finish {
  const kind = COMMON_REJECTIONS[rejection.code] ?? operation.rejections[rejection.code];
  if (kind === undefined) throw new Error(`Bug! ${operation.name} does not declare the rejection ${rejection.code}`);
  const problem: Problem = {
    type: problemType(rejection.code),
    title: kind.title,
    status: kind.status,
    detail: rejection.message,
    instance: writeUrl(args.key),
    code: rejection.code,
    retryable: false,
    nextAction: kind.nextAction ?? 'use_new_key',
    ...(rejection.pointer === undefined ? {} : { errors: [rejection.pointer] }),
    ...rejection.more,
  };
  return {
    outcome: 'rejected',
    statusCode: kind.status,
    body: JSON.stringify(problem),
    toCome: undefined,
    location: undefined,
    resource: undefined,
    error: { code: rejection.code, message: rejection.message.slice(0, MAX_AUDIT_MESSAGE) },
    event: undefined,
    auditMetadata: {},
    security: [],
  };
}

/** The membership is asked for once more in the transaction. */
export function roleRevoked(): Rejection {
  return new Rejection('forbidden', 'Your role was revoked before the write ran.');
}

/** Every attempt that comes after the expiry says so, whatever was decided later. */
export function approvalExpired({ expiresAt }: Pick<Approval, 'expiresAt'>): Rejection {
  return new Rejection(
    'approval_expired',
    `Not enough people had approved the write by ${new Date(expiresAt).toISOString()}.`,
  );
}

export function approvalRejected(comment: string | undefined): Rejection {
  return new Rejection(
    'approval_rejected',
    `Someone who may approve the write has rejected it${comment === undefined ? '.' : `: ${comment}`}`,
  );
}

/** What any write can be rejected with, whatever its operation declares. */
const COMMON_REJECTIONS: Readonly<Record<string, RejectionKind>> = {
  forbidden: { status: 403, title: 'Your role does not allow this', nextAction: 'use_new_key' },
  approval_rejected: { status: 409, title: 'The write was not approved', nextAction: 'use_new_key' },
  approval_expired: { status: 409, title: 'The write was not approved in time', nextAction: 'use_new_key' },
};
const MAX_AUDIT_MESSAGE = 2_000;

/**
 * The last statement of a single write. Every deferred constraint is checked in it, and a number that is to come is filled in.
 * Facts for the security log travel with it.
 */
export async function finishWrite(tx: Tx, args: WriteArguments, end: Finish): Promise<WriteRow> {
  const told = end.security.length === 0 ? undefined : recordSecurityFacts(tx, args, end.security);
  const finishing = tx.query<WriteRow>(
    `SELECT w.* FROM finish_write(
       p_company => $1, p_key => $2, p_outcome => $3, p_status_code => $4, p_body => $5, p_location => $6,
       p_resource_type => $7, p_resource_id => $8, p_error_code => $9, p_error_message => $10, p_route_path => $11,
       p_http_method => $12, p_event_id => $13, p_event_kind => $14, p_event_payload => $15,
       p_workflows_triggered => $16, p_audit_metadata => $17, p_rest => $18, p_number_kind => $19
     ) AS w`,
    [
      args.companyId,
      args.key,
      end.outcome,
      end.statusCode,
      Buffer.from(end.body),
      end.location ?? null,
      end.resource?.type ?? null,
      end.resource?.id ?? null,
      end.error?.code ?? null,
      end.error?.message ?? null,
      args.request.path,
      args.request.method,
      end.event?.id ?? null,
      end.event?.kind ?? null,
      end.event === undefined ? null : JSON.stringify(end.event.payload),
      end.event?.kind === WORKFLOW_TRIGGERED ? 1 : 0,
      JSON.stringify(end.auditMetadata),
      end.toCome === undefined ? null : Buffer.from(end.toCome.rest),
      end.toCome?.kind ?? null,
    ],
  );
  const [[row]] = await Promise.all([finishing, told]);
  if (row === undefined) throw new Error('Bug! The claimed write has no row');
  return row;
}
