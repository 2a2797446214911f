import type { Client } from '@temporalio/client';
import { asApplication } from '../../activities/as-application.ts';
import type { Pool } from '../../activities/database.ts';
import type { LostWrite } from '../../activities/write/lose-write.ts';
import { WRITE_WORKFLOW_TYPE } from '../../workflows/messages.ts';
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
    if (typeof companyId !== 'string' || typeof key !== 'string') continue;
    batch.push({ workflowId, runId, companyId, key });
    listed += 1;
    if (batch.length < BATCH) continue;
    await compare();
    options.onProgress?.(listed);
  }
  await compare();
  return { listed, missing, unreadable };
}

/** From when on runs of keys have to be compared if the verification ends now; RFC 3339. */
export async function unlistedSince(pool: Pool): Promise<string> {
  const [row] = await asApplication(pool, (tx) => tx.query<{ since: string }>('SELECT unlisted_since() AS since'));
  if (row === undefined) throw new Error('Bug! The table verification has one row, always');
  return row.since;
}

async function readRun(runs: NamedRuns, workflowId: string, runId: string): Promise<LostWrite | undefined> {
  try {
    const run = await runs.read(workflowId, runId);
    if (run === undefined) return undefined;
    const args = readArguments(run.argument(0));
    return args === undefined ? undefined : { args, workflowId, runId, requestedAt: run.startedAt };
  } catch {
    return undefined;
  }
}
