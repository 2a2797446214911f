import type { WriteArguments } from '../../workflows/messages.ts';
import type { AuditRow } from '../audit/record-rows.ts';

/** Of an answer that no transaction of a write has recorded. A null is what there is none of. */
export type AuditedEnd = Pick<AuditRow, 'status' | 'error_code' | 'error_message' | 'execution_duration_ms'>;

/** The audit row of a write that was asked for. `writeId`: of the operation and key that it names. */
export function auditRowOf(
  args: Pick<WriteArguments, 'companyId' | 'operation' | 'key' | 'actor' | 'request'>,
  { type, writeId }: { readonly type: string; readonly writeId: string },
  end: AuditedEnd,
): AuditRow {
  return {
    company_id: args.companyId,
    operation_name: args.operation,
    operation_type: type,
    deterministic_id: writeId,
    idempotency_key: args.key,
    user_id: args.actor.userId,
    ...end,
    request_id: args.request.id,
    route_path: args.request.path,
    http_method: args.request.method,
  };
}

/** A cancelled key has no operation, so its replays are recorded without one, whatever was requested. */
export const OF_NO_WRITE = { operation_name: 'unknown', operation_type: 'unknown', deterministic_id: null } as const;
