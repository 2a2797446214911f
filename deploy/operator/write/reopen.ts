import { randomUUID } from 'node:crypto';
import { userInfo } from 'node:os';
import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { queryOnce, type Tx, transaction } from '../../../activities/database.ts';
import { isLockTimeout, isNotTrusted } from '../../../activities/failures.ts';
import { workflowIdOf, writeId } from '../../../activities/identity.ts';
import { OPERATIONS } from '../../../activities/operation-list.ts';
import { createWriteRuns } from '../../../api/submit/write-runs.ts';
import { WRITE_WORKFLOW_TYPE, type WriteMemo } from '../../../workflows/messages.ts';
import { writeSearchAttributes } from '../../../workflows/search-attributes.ts';
import type { Company, OperatorContext } from './context.ts';
import { isReopening, type ReopeningMemo } from './reopening.ts';

/** `because`: why nothing was done; the key could already be sent again. */
export type Reopening =
  | {
      readonly reopened: true;
      /** The completed run whose record is missing, and the run that allows another; null where a group had made the write. */
      readonly missingRunId: string | null;
      readonly runId: string | null;
    }
  | { readonly reopened: false; readonly because: string };

/** No worker polls this queue: the run that marks the reopening must not execute the write. */
const QUEUE_SUFFIX = '-reopened';
/** If this process dies before terminating the run, Temporal ends it after this time. */
const MARKER_LIMIT_MS = 10_000;

/**
 * Allows a key to be sent again whose row is gone. If a verification has marked it as lost, this takes the mark away, and
 * remembers the run, so that no later verification marks it again. A completed run blocks the key, too: Temporal refuses a
 * start while the newest run is completed, and there is no row to answer from. So this starts another run and terminates it
 * at once; after a terminated run, a start is allowed. The completed run stays, with the only copy of the request.
 *
 * Throws, and changes nothing, if there is a row, a transaction that may write one, or an open run. Meanwhile it claims the
 * key as a write does, so that no row can appear between the check and the end. It writes an audit row before it changes
 * anything.
 */
export async function reopen(
  context: OperatorContext,
  company: Company,
  key: string,
  reason: string,
): Promise<Reopening> {
  const { database, temporal, taskQueue } = context;
  if ('unavailable' in temporal)
    throw new Error(`${temporal.unavailable} A key can be reopened only if its runs can be read.`);
  await refuseStandby(context);
  const runs = createWriteRuns(temporal, { taskQueue });
  return transaction(database.writes, async (tx) => {
    const run = await runs.describe(company.id, key);
    if (run?.state === 'running') throw isRunning();
    const memo = run?.memo;
    const ownRuns = [
      ...(run === undefined ? [] : [run.runId]),
      ...(isReopening(memo) && memo.missingRunId !== undefined ? [memo.missingRunId] : []),
    ];
    const lost = await takeLostRow(tx, company, key);
    await remember(tx, company, key, lost?.workflowId, ownRuns);
    await tx.query('SAVEPOINT claim');
    await claim(tx, company, key, memo);
    // Read again under the claim: from now on this cannot change.
    const now = await runs.describe(company.id, key);
    if (now?.state === 'running') throw isRunning();
    if (lost !== undefined && now?.state !== 'completed') {
      await record(context, company, key, { ...lost, runId: null }, reason);
      await tx.query('ROLLBACK TO SAVEPOINT claim');
      return { reopened: true, missingRunId: null, runId: null } as const;
    }
    if (now === undefined) return open('it has no run in Temporal');
    if (now.state === 'unsuccessful') return open('its newest run ended without an outcome');
    if (memo === undefined || now.runId !== run?.runId) throw new Error('The run changed during the check. Try again.');
    await record(context, company, key, { ...memo, runId: now.runId }, reason);
    const runId = await addTerminatedRun(temporal, taskQueue + QUEUE_SUFFIX, company, key, {
      ...memo,
      reopened: reason,
      missingRunId: now.runId,
    });
    // Undo the claim: a row without an outcome could not be committed anyway.
    await tx.query('ROLLBACK TO SAVEPOINT claim');
    return { reopened: true, missingRunId: now.runId, runId } as const;

    async function open(because: string): Promise<Reopening> {
      await tx.query('ROLLBACK TO SAVEPOINT claim');
      return { reopened: false, because: `The key can already be sent again: ${because}. The client may send it.` };
    }
  }).catch((error: unknown) => {
    if (isNotTrusted(error)) {
      throw new Error('The database is not verified, so a missing row proves nothing yet: npm run write -- verify', {
        cause: error,
      });
    }
    if (!isLockTimeout(error)) throw error;
    throw new Error('A transaction holds the key. Try again when it has ended.', { cause: error });
  });
}

/** The user of a lost write may be lost, too. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

/** Undefined where the key was not marked. */
async function takeLostRow(tx: Tx, company: Company, key: string) {
  await tx.query('SELECT enter_company($1)', [company.id]);
  const [row] = await tx.query<{ operation: string; user_id: string | null; request_id: string; workflow_id: string }>(
    `SELECT operation, user_id, request_id, coalesce(workflow_id, '') AS workflow_id FROM idempotent_writes
     WHERE company_id = current_company() AND idempotency_key = $1 AND outcome = 'lost'`,
    [key],
  );
  if (row === undefined) return undefined;
  await tx.query('SELECT remove_lost_write($1, $2)', [company.id, key]);
  return { operation: row.operation, userId: row.user_id, requestId: row.request_id, workflowId: row.workflow_id };
}

/** No later verification marks the write of these runs: a group, and the key's own runs so far. */
async function remember(
  tx: Tx,
  company: Company,
  key: string,
  madeBy: string | undefined,
  ownRuns: readonly string[],
): Promise<void> {
  const own = workflowIdOf(company.id, key);
  const decided = [
    // Of a group there is one run.
    ...(madeBy === undefined || madeBy === own ? [] : [{ workflowId: madeBy, runId: null }]),
    ...ownRuns.map((runId) => ({ workflowId: own, runId })),
  ];
  await tx.query('SELECT enter_company($1)', [company.id]);
  await tx.query(
    `INSERT INTO reopened_runs (company_id, idempotency_key, workflow_id, run_id)
     SELECT $1, $2, r."workflowId", r."runId" FROM jsonb_to_recordset($3) AS r ("workflowId" text, "runId" text)`,
    [company.id, key, JSON.stringify(decided)],
  );
}

/** A standby may lag behind, so a missing row there proves nothing. */
async function refuseStandby({ database }: OperatorContext): Promise<void> {
  const [server] = await queryOnce<{ standby: boolean }>(database.reads, 'SELECT pg_is_in_recovery() AS standby');
  if (server?.standby)
    throw new Error('This database is a standby. Connect to the primary: only there is a missing row proof.');
}

/** Claims the key as a write does, and so waits for any transaction that has claimed it. Throws if there is a row. */
async function claim(tx: Tx, company: Company, key: string, memo: WriteMemo | undefined): Promise<void> {
  await tx.query('SELECT enter_company($1)', [company.id]);
  const [member] = await tx.query<{ user_id: string }>(
    'SELECT user_id FROM memberships WHERE company_id = current_company() LIMIT 1',
  );
  if (member === undefined) throw new Error('Bug! The company has no member');
  const operation = memo?.operation ?? 'unknown';
  const [found] = await tx.query<{ claimed: boolean; outcome: string | null; is_open: boolean | null }>(
    `SELECT c.claimed, (c.write).outcome, (c.approval ->> 'isOpen')::boolean AS is_open
     FROM claim_write(
       p_company => $1, p_key => $2, p_write_id => $3, p_submission_id => $4, p_operation => $5, p_type => 'financial',
       p_fingerprint => repeat('0', 64), p_schema_version => 1, p_request => '{}', p_user => $6, p_request_id => 'reopen',
       p_workflow_id => NULL, p_attempt => 1, p_requested_at => now(), p_approvals => true
     ) AS c`,
    [company.id, key, writeId(company.id, operation, key), randomUUID(), operation, member.user_id],
  );
  if (found?.is_open) throw new Error('The write waits for its approval: approve, reject or cancel it.');
  if (found?.claimed) return;
  throw new Error(
    `The write has its row (${found?.outcome}): there is nothing to reopen, and the same key gets the stored answer.`,
  );
}

async function record(
  { database }: OperatorContext,
  company: Company,
  key: string,
  memo: Pick<WriteMemo, 'operation' | 'requestId'> & { readonly userId: string | null; readonly runId: string | null },
  reason: string,
): Promise<void> {
  const [{ login } = { login: 'unknown' }] = await queryOnce<{ login: string }>(
    database.reads,
    'SELECT session_user::text AS login',
  );
  const row = {
    company_id: company.id,
    operation_name: memo.operation,
    operation_type: OPERATIONS.find(({ name }) => name === memo.operation)?.type ?? 'unknown',
    deterministic_id: writeId(company.id, memo.operation, key),
    idempotency_key: key,
    user_id: memo.userId ?? NOBODY,
    status: 'failed',
    error_code: 'write_record_missing',
    error_message: `Reopened: ${reason}`,
    execution_duration_ms: 0,
    request_id: memo.requestId,
    route_path: 'npm run write -- reopen',
    http_method: '',
    metadata: { action: 'reopen', runId: memo.runId, login, systemUser: systemUser() },
  };
  await queryOnce(database.reads, 'SELECT record_audit_rows($1)', [JSON.stringify([row])]);
}

/** In a container a numeric user may have no name. */
function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}

async function addTerminatedRun(
  { workflow }: Client,
  taskQueue: string,
  company: Company,
  key: string,
  memo: ReopeningMemo,
): Promise<string> {
  try {
    const handle = await workflow.start(WRITE_WORKFLOW_TYPE, {
      workflowId: workflowIdOf(company.id, key),
      taskQueue,
      args: [],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      // An open run may have an open transaction, so it must not be replaced.
      workflowIdConflictPolicy: 'FAIL',
      workflowExecutionTimeout: MARKER_LIMIT_MS,
      // Contains the fingerprint of the lost request: a request for it at this moment attaches and waits for this run's end.
      memo,
      typedSearchAttributes: writeSearchAttributes(company.id, memo.operation, key),
      staticSummary: 'Reopened: the record of its completed run is missing',
    });
    await handle.terminate(`reopened: ${memo.reopened}`);
    return handle.firstExecutionRunId;
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw isRunning(error);
  }
}

function isRunning(cause?: unknown): Error {
  return new Error('The write is running: wait for its outcome, or terminate its run in Temporal.', { cause });
}
