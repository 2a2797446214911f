import type { WriteArguments } from '../../workflows/messages.ts';
import { type Approval, pendingResult } from '../approvals/approval.ts';
import type { Demands } from '../approvals/policies.ts';
import type { Tx } from '../database.ts';
import { TransientFailure, violates } from '../failures.ts';
import type { Operation } from '../operation.ts';
import { isSameRequest } from './compare-requests.ts';

/** Thrown where the write is not attempted by the run of its key, which alone can wait for an approval. Nothing was left. */
export class NeedsApproval extends Error {
  constructor() {
    super('The write needs an approval, and a run of its own that waits for it');
    this.name = 'NeedsApproval';
  }
}

/** Leaves a request for approval in the place of the claim, and of all that the operation has done. */
export async function requestApproval(
  tx: Tx,
  args: WriteArguments,
  { demands, expiresAfterHours }: Demands,
  { writeId, requestedAt }: { readonly writeId: string; readonly requestedAt: string },
): Promise<Approval> {
  const { companyId, key } = args;
  const [, , , approval] = await Promise.all([
    tx.query('ROLLBACK TO SAVEPOINT operation'),
    tx.query(
      `INSERT INTO approval_requests (company_id, idempotency_key, write_id, user_id, arguments, policy_version, demands,
         requested_at, expires_at)
       SELECT $1, $2, $3, $4, $5, max(p.version), $6, $7, now() + make_interval(hours => $8)
       FROM approval_policies p WHERE p.company_id = $1`,
      [
        companyId,
        key,
        writeId,
        args.actor.userId,
        JSON.stringify(args),
        JSON.stringify(demands),
        requestedAt,
        expiresAfterHours,
      ],
    ),
    takeClaimBack(tx, args),
    approvalOf(tx, key),
  ]);
  if (approval === undefined) throw new Error('Bug! The request for approval is not there');
  return approval;
}

/** The request for approval of a key of the current company, whatever has become of it. */
export async function approvalOf(tx: Tx, key: string): Promise<Approval | undefined> {
  const [found] = await tx.query<{ approval: Approval | null }>(
    'SELECT approval_of(current_company(), $1) AS approval',
    [key],
  );
  return found?.approval ?? undefined;
}

/** The key is free again at COMMIT, as if there had been no claim. */
export async function takeClaimBack(tx: Tx, { companyId, key }: WriteArguments): Promise<void> {
  await tx.query('SELECT unclaim_write($1, $2)', [companyId, key]);
}

/**
 * The key is about to get its outcome. `approver`: the last of those whose approvals it is executed with. One of them may have
 * lost the role since they were read: then the database refuses, and the next attempt reads them again.
 */
export async function closeRequest(
  tx: Tx,
  { companyId, key }: WriteArguments,
  approver: string | undefined,
): Promise<void> {
  const closing = tx.query(
    `UPDATE approval_requests SET approved_by = $3, closed_at = clock_timestamp()
     WHERE company_id = $1 AND idempotency_key = $2 AND closed_at IS NULL`,
    [companyId, key, approver ?? null],
  );
  await closing.catch((error: unknown) => {
    if (!violates(error, 'approved_by_enough')) throw error;
    throw new TransientFailure('The approvals are not enough any more', { mayHaveCommitted: false, cause: error });
  });
}

/** The request of a key that has no outcome any more, since its write was lost and an operator has reopened it, is open again. */
export async function reopenRequest(tx: Tx, { companyId, key }: WriteArguments): Promise<void> {
  await tx.query(
    `UPDATE approval_requests SET closed_at = NULL
     WHERE company_id = $1 AND idempotency_key = $2 AND closed_at IS NOT NULL AND approved_by IS NULL`,
    [companyId, key],
  );
}

/** Whether it is this very request that waits, in whichever version of the schema. */
export function isRequestOf(approval: Approval, args: WriteArguments, operations: readonly Operation[]): boolean {
  const { operation, fingerprint, input, schemaVersion } = approval.arguments;
  return isSameRequest(
    { operation, fingerprint, request: { ...input }, schema_version: schemaVersion },
    { operation: args.operation, ...args.input, fingerprint: args.fingerprint },
    operations,
  );
}

/** What is told of the key to another request, and to this one. */
export function waitingResult(approval: Approval, isMine: boolean) {
  return isMine
    ? pendingResult(approval)
    : ({ outcome: 'mismatch', statusCode: 422, writeId: approval.writeId, first: false } as const);
}
