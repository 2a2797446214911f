import type pg from 'pg';
import { fingerprint, writeId } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { WireInput } from '../../workflows/messages.ts';

export type LostWrite = {
  readonly companyId: string;
  readonly key: string;
  readonly operation: string;
  readonly input: WireInput;
  /** Null where the user is lost with the write. */
  readonly userId: string | null;
  /** The group or the run that had it. */
  readonly workflowId: string;
};

/** When the database was found to have lost the writes of {@link markLost}. */
export const FOUND_LOST_AT = '2026-03-02T08:00:00.000Z';

/** The row and the audit row of a lost write, as the verification of a database leaves them, and the number that it took. */
export async function markLost(owner: pg.Pool, write: LostWrite, { audited = true } = {}): Promise<void> {
  const { companyId, key, operation, input, userId, workflowId } = write;
  const known = OPERATIONS.find(({ name }) => name === operation);
  const body = { code: 'write_record_missing', status: 500, title: 'The record of this write is missing' };
  const session = await owner.connect();
  try {
    await session.query('BEGIN');
    await session.query(
      `INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
         schema_version, request, outcome, status_code, response_body, user_id, request_id, workflow_id, attempt,
         requested_at, completed_at)
       VALUES ($1, $2, $3, gen_random_uuid(), $4, $5, $6, 1, $7, 'lost', 500, $8, $9, $10, $11, 1,
         '2026-03-01T12:00:00.000Z', $12)`,
      [
        ...[companyId, key, writeId(companyId, operation, key), operation, known?.type, fingerprint(operation, input)],
        ...[JSON.stringify(input), Buffer.from(JSON.stringify(body)), userId, `request-${key}`, workflowId],
        FOUND_LOST_AT,
      ],
    );
    if (audited) await audit(session, write, known?.type ?? 'unknown');
    if (operation === 'finalizeInvoice') {
      await session.query(
        `UPDATE number_counters SET last_number = last_number + 1, lost_numbers = lost_numbers + 1
         WHERE company_id = $1 AND kind = 'invoice'`,
        [companyId],
      );
    }
    await session.query('COMMIT');
  } catch (error) {
    await session.query('ROLLBACK');
    throw error;
  } finally {
    session.release();
  }
}

async function audit(
  session: pg.PoolClient,
  { companyId, key, operation, workflowId, ...write }: LostWrite,
  type: string,
) {
  await session.query(
    `INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, deterministic_id, idempotency_key,
       user_id, status, error_code, error_message, request_id, route_path, http_method, metadata)
     VALUES ($1, $2, $3, $4, $5, coalesce($6, gen_random_uuid()), 'failed', 'write_record_missing', 'Lost by a restore', $7,
       '/api', 'POST', jsonb_build_object('workflowId', $8::text))`,
    [companyId, operation, type, writeId(companyId, operation, key), key, write.userId, `request-${key}`, workflowId],
  );
}
