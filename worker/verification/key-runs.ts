import type { Client } from '@temporalio/client';
import { asApplication } from '../../activities/as-application.ts';
import { type Pool, transaction } from '../../activities/database.ts';
import { isUuid, workflowIdOf } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { inBatches, type LostWrite, loseWrites } from '../../activities/write/lose-write.ts';
import { WRITE_WORKFLOW_TYPE } from '../../workflows/messages.ts';
import type { Verification } from '../fence.ts';
import { call } from './call.ts';
import { type KeyOfRun, keysWithoutRow } from './missing-writes.ts';
import type { NamedRuns } from './named-runs.ts';
import { readArguments } from './read-arguments.ts';

/** How much earlier the list begins: what clocks differ by, and more. */
const MARGIN_MS = 10 * 60_000;
const BATCH = 500;

/**
 * The completed runs of keys whose row is missing, from ten minutes before `since` (RFC 3339). Asks Temporal's visibility,
 * which lags by seconds. Throws when it does not answer.
 */
export async function missingKeyRuns(options: {
  readonly client: Client;
  readonly runs: NamedRuns;
  readonly pool: Pool;
  readonly taskQueue: string;
  readonly since: string;
  /** The incarnation of the server that is asked for rows. */
  readonly live: string;
  onProgress?(listed: number): void;
}): Promise<{
  readonly listed: number;
  readonly missing: readonly LostWrite[];
  readonly unreadable: readonly string[];
}> {
  const { client, pool, taskQueue } = options;
  const from = new Date(Date.parse(options.since) - MARGIN_MS).toISOString();
  const query =
    `WorkflowType = '${WRITE_WORKFLOW_TYPE}' AND ExecutionStatus = 'Completed' AND TaskQueue = '${taskQueue}' ` +
    `AND CloseTime >= '${from}'`;
  const missing: LostWrite[] = [];
  const unreadable: string[] = [];
  let listed = 0;
  let batch: Required<KeyOfRun>[] = [];
  const compare = async () => {
    for (const position of await keysWithoutRow(pool, options.live, batch)) {
      const { workflowId = '', runId = '' } = batch[position] ?? {};
      const lost = await readRun(options.runs, workflowId, runId);
      if (lost === undefined) unreadable.push(workflowId);
      else missing.push(lost);
    }
    batch = [];
  };
  for await (const { workflowId, runId, searchAttributes } of client.workflow.list({ query, pageSize: BATCH })) {
    const companyId = searchAttributes['CompanyId']?.[0];
    const key = searchAttributes['IdempotencyKey']?.[0];
    // Anyone who reaches Temporal can start a run with any attributes: ours have the name that follows from them.
    if (typeof companyId !== 'string' || typeof key !== 'string' || !isUuid(companyId)) continue;
    if (workflowId !== workflowIdOf(companyId, key)) continue;
    batch.push({ workflowId, runId, companyId, key });
    listed += 1;
    if (batch.length < BATCH) continue;
    await compare();
    options.onProgress?.(listed);
  }
  await compare();
  return { listed, missing, unreadable };
}

/**
 * Compares the runs of keys with their rows, after a verification; groups may be started afterwards. What is missing closes
 * the database if it had opened by itself (`closed`), and is marked as lost otherwise.
 */
export async function compareKeyRuns(options: {
  readonly client: Client;
  readonly runs: NamedRuns;
  readonly pool: Pool;
  readonly writes: Pool;
  readonly taskQueue: string;
  readonly operations: readonly Operation[];
  readonly verification: Verification;
  readonly since: string;
  onProgress?(listed: number): void;
}): Promise<'closed' | { readonly listed: number; readonly lost: number; readonly unreadable: readonly string[] }> {
  const { pool, writes, operations, verification } = options;
  const { version, live, continued } = verification;
  const { listed, missing, unreadable } = await missingKeyRuns({ ...options, live });
  if (continued && missing.length + unreadable.length > 0) {
    const reason = `${missing.length + unreadable.length} completed runs of keys have no row`;
    await call(pool, 'SELECT close_database($1, $2, $3) AS done', [version, live, reason]);
    return 'closed';
  }
  for (const some of inBatches(missing)) {
    await transaction(writes, async (tx) => {
      await tx.query('SELECT require_incarnation($1)', [live]);
      await loseWrites(tx, some, operations, 'Its run has completed, and its row is missing');
    });
  }
  await call(pool, 'SELECT finish_listing($1) AS done', [version]);
  return { listed, lost: missing.length, unreadable };
}

/** From when on runs of keys have to be compared if the verification ends now; RFC 3339. */
export async function unlistedSince(pool: Pool): Promise<string> {
  const [row] = await asApplication(pool, (tx) => tx.query<{ since: string }>('SELECT unlisted_since() AS since'));
  if (row === undefined) throw new Error('Bug! The table verification has one row, always');
  return row.since;
}

/** Undefined where its input cannot be read, or it is gone. Throws when Temporal does not answer: then nothing is known of it. */
async function readRun(runs: NamedRuns, workflowId: string, runId: string): Promise<LostWrite | undefined> {
  const run = await runs.read(workflowId, runId);
  if (run === undefined) return undefined;
  try {
    const args = readArguments(run.argument(0));
    return args === undefined ? undefined : { args, workflowId, runId, requestedAt: run.startedAt };
  } catch {
    return undefined;
  }
}
