import type { Client } from '@temporalio/client';
import { asApplication } from '../../activities/as-application.ts';
import type { Pool } from '../../activities/database.ts';
import type { LostWrite } from '../../activities/write/lose-write.ts';
import { WRITE_WORKFLOW_TYPE, type WriteArguments } from '../../workflows/messages.ts';
import { type KeyOfRun, keysWithoutRow } from './missing-writes.ts';
import type { NamedRuns } from './named-runs.ts';

/** How much earlier than the last sign of a process the list begins: what clocks differ by, and more. */
const MARGIN_MS = 10 * 60_000;
const BATCH = 500;

/**
 * The completed runs of keys whose row is missing, from ten minutes before the last sign of a process that the database
 * remembers of its earlier versions. Asks Temporal's visibility, which lags by seconds. Throws when it does not answer.
 */
export async function missingKeyRuns(options: {
  readonly client: Client;
  readonly runs: NamedRuns;
  readonly pool: Pool;
  readonly taskQueue: string;
  /** The version that is open now; undefined: none is. */
  readonly openVersion: string | undefined;
  onProgress?(listed: number): void;
}): Promise<{
  readonly listed: number;
  readonly missing: readonly LostWrite[];
  readonly unreadable: readonly string[];
}> {
  const { client, pool, taskQueue, openVersion } = options;
  const since = await lastSign(pool, openVersion);
  const query =
    `WorkflowType = '${WRITE_WORKFLOW_TYPE}' AND ExecutionStatus = 'Completed' AND TaskQueue = '${taskQueue}'` +
    (since === undefined ? '' : ` AND CloseTime >= '${since}'`);
  const missing: LostWrite[] = [];
  const unreadable: string[] = [];
  let listed = 0;
  let batch: Required<KeyOfRun>[] = [];
  const compare = async () => {
    for (const position of await keysWithoutRow(pool, batch)) {
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

/** RFC 3339; undefined where the database remembers none. */
async function lastSign(pool: Pool, openVersion: string | undefined): Promise<string | undefined> {
  const [row] = await asApplication(pool, (tx) =>
    tx.query<{ since: string | null }>(
      'SELECT max(heartbeat_at) - make_interval(secs => $2) AS since FROM lanes WHERE version IS DISTINCT FROM $1',
      [openVersion ?? null, MARGIN_MS / 1_000],
    ),
  );
  return row?.since ?? undefined;
}

async function readRun(runs: NamedRuns, workflowId: string, runId: string): Promise<LostWrite | undefined> {
  try {
    const run = await runs.read(workflowId, runId);
    if (run === undefined) return undefined;
    const args = run.argument(0) as WriteArguments;
    return typeof args.key === 'string' ? { args, workflowId, runId, requestedAt: run.startedAt } : undefined;
  } catch {
    return undefined;
  }
}
