import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import {
  type AuditCheck,
  type CheckContext,
  CouldNotAsk,
  type NotAsked,
  type Range,
  type Step,
} from '../../activities/auditor/check.ts';
import { type Finding, findingOf } from '../../activities/auditor/finding.ts';
import { DAY_MS } from '../../activities/durations.ts';
import { isUuid, workflowIdOf } from '../../activities/identity.ts';
import { GROUP_WORKFLOW_TYPE, WRITE_WORKFLOW_TYPE } from '../../workflows/messages.ts';
import { createNamedRuns, type NamedRuns } from '../verification/named-runs.ts';
import { toGroup } from '../verification/read-lanes.ts';
import { retentionMs } from '../verification/verifier.ts';

/** Temporal's visibility lags by seconds, and a run closes behind the COMMIT of its write. */
const LAG_MS = 60_000;
/** Runs of this age may be removed while they are read. */
const RETENTION_MARGIN_MS = 60 * 60_000;
const RUNS_A_PAGE = 500;
const GROUPS_AT_ONCE = 20;
const WRITES_A_PAGE = 2_000;
const IDS_A_QUERY = 50;
/** Groups of the pages before: the writes of one stand near each other. */
const KNOWN_RUNS = 20_000;

export type RunsCheckOptions = {
  readonly client: Client;
  /** Of the writes. */
  readonly taskQueue: string;
  /** What is younger is not compared. */
  readonly lagMs?: number;
};

/**
 * Compares the rows of the writes with Temporal's runs, as far as Temporal remembers: a completed run, and each item of a
 * completed group that has not left it, has a row; the run that has made a row is there.
 */
export function runsCheck({ client, taskQueue, lagMs = LAG_MS }: RunsCheckOptions): AuditCheck {
  return {
    name: 'runs',
    reads: 'the runs in Temporal',
    each: 'everything',
    async *run({ companyIds }, context) {
      const days = await remembered(client, context.range, lagMs);
      if (days === undefined) return;
      const companies = new Set(companyIds);
      yield* keyRuns({ client, taskQueue, days, companies, context });
      yield* groupRuns({ client, taskQueue, days, companies, context });
      for (const companyId of companyIds) yield* rowsWithoutRun({ client, companyId, days, context });
    },
  };
}

type Days = { readonly from: string; readonly to: string };
type Asked = {
  readonly client: Client;
  readonly taskQueue: string;
  readonly days: Days;
  readonly companies: ReadonlySet<string>;
  readonly context: CheckContext;
};

/** The time of the range of which Temporal has all closed runs; undefined where it has none. */
async function remembered(client: Client, { from, to }: Range, lagMs: number): Promise<Days | undefined> {
  const retention = await retentionMs(client).catch((error: Error) => {
    throw new CouldNotAsk(error.message);
  });
  // biome-ignore lint/plugin: the time of what is compared is of the calendar.
  const now = Date.now();
  const first = Math.max(from === null ? 0 : Date.parse(from), now - retention + RETENTION_MARGIN_MS);
  const last = Math.min(to === null ? now : Date.parse(to) + DAY_MS, now - lagMs);
  return first < last ? { from: new Date(first).toISOString(), to: new Date(last).toISOString() } : undefined;
}

function completed(type: string, { taskQueue, days }: Asked): string {
  return (
    `WorkflowType = '${type}' AND ExecutionStatus = 'Completed' AND TaskQueue = '${taskQueue}' ` +
    `AND CloseTime >= '${days.from}' AND CloseTime < '${days.to}'`
  );
}

type KeyOfRun = {
  readonly companyId: string;
  readonly key: string;
  readonly workflowId: string;
  readonly runId: string;
};

async function* keyRuns(asked: Asked): AsyncGenerator<Step> {
  let page: KeyOfRun[] = [];
  const query = completed(WRITE_WORKFLOW_TYPE, asked);
  for await (const { workflowId, runId, searchAttributes } of asked.client.workflow.list({
    query,
    pageSize: RUNS_A_PAGE,
  })) {
    const companyId = searchAttributes['CompanyId']?.[0];
    const key = searchAttributes['IdempotencyKey']?.[0];
    // Anyone who reaches Temporal can start a run with any attributes: ours have the name that follows from them.
    if (typeof companyId !== 'string' || typeof key !== 'string' || !isUuid(companyId)) continue;
    if (workflowId !== workflowIdOf(companyId, key)) continue;
    page.push({ companyId, key, workflowId, runId });
    if (page.length < RUNS_A_PAGE) continue;
    yield { findings: await withoutRow(page, asked) };
    page = [];
  }
  yield { findings: await withoutRow(page, asked) };
}

async function* groupRuns(asked: Asked): AsyncGenerator<Step> {
  const runs = createNamedRuns(asked.client, { taskQueue: asked.taskQueue });
  let page: { workflowId: string; runId: string }[] = [];
  const query = completed(GROUP_WORKFLOW_TYPE, asked);
  for await (const { workflowId, runId } of asked.client.workflow.list({ query, pageSize: RUNS_A_PAGE })) {
    page.push({ workflowId, runId });
    if (page.length < GROUPS_AT_ONCE) continue;
    yield await itemsWithoutRow(runs, page, asked);
    page = [];
  }
  yield await itemsWithoutRow(runs, page, asked);
}

async function itemsWithoutRow(
  runs: NamedRuns,
  page: readonly { workflowId: string; runId: string }[],
  asked: Asked,
): Promise<Step> {
  const items: KeyOfRun[] = [];
  const notAsked: NotAsked[] = [];
  await Promise.all(
    page.map(async ({ workflowId, runId }) => {
      const run = await runs.read(workflowId, runId);
      // Removed since it was listed.
      if (run === undefined) return;
      const group = toGroup(run, { lane: 0, number: 0, workflowId });
      if (group === undefined) {
        notAsked.push({ what: 'what groups of writes contained', why: 'Their runs cannot be read: set PAYLOAD_KEYS.' });
        return;
      }
      for (const [index, { args }] of group.items.entries()) {
        if (!group.left.has(index)) items.push({ companyId: args.companyId, key: args.key, workflowId, runId });
      }
    }),
  );
  return { findings: await withoutRow(items, asked), notAsked };
}

/** Those without a row, but for what an operator has reopened. */
async function withoutRow(runs: readonly KeyOfRun[], { companies, context }: Asked): Promise<Finding[]> {
  context.signal.throwIfAborted();
  const ours = runs.filter(({ companyId }) => companies.has(companyId));
  if (ours.length === 0) return [];
  const missing = await context.ask<{ position: number }>(
    `SELECT k.position::integer FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
       AS k (company, key, workflow_id, run_id, position)
     WHERE NOT EXISTS (SELECT FROM idempotent_writes w WHERE w.company_id = k.company AND w.idempotency_key = k.key)
       AND NOT EXISTS (
         SELECT FROM reopened_runs r WHERE r.company_id = k.company AND r.idempotency_key = k.key
           AND r.workflow_id = k.workflow_id AND (r.run_id IS NULL OR r.run_id = k.run_id))`,
    [
      ours.map(({ companyId }) => companyId),
      ours.map(({ key }) => key),
      ours.map(({ workflowId }) => workflowId),
      ours.map(({ runId }) => runId),
    ],
  );
  return missing.flatMap(({ position }) => {
    const run = ours[position - 1];
    if (run === undefined) return [];
    const { companyId, key, workflowId, runId } = run;
    const detail = `Its run has completed (${workflowId}, ${runId}), and there is no row of its key.`;
    return [findingOf({ kind: 'run-without-row', companyId, key, table: 'idempotent_writes', detail })];
  });
}

type RowOfRun = {
  readonly key: string;
  readonly write_id: string | null;
  readonly workflow_id: string;
  readonly claimed_at: string;
};

async function* rowsWithoutRun({
  client,
  companyId,
  days,
  context,
}: Pick<Asked, 'client' | 'days' | 'context'> & { readonly companyId: string }): AsyncGenerator<Step> {
  const known = new Set<string>();
  let [claimedAt, key] = ['infinity', ''];
  for (;;) {
    context.signal.throwIfAborted();
    const rows = await context.ask<RowOfRun>(
      `SELECT idempotency_key AS key, write_id, workflow_id, claimed_at::text FROM idempotent_writes
       WHERE company_id = $1 AND (claimed_at, idempotency_key) < ($2::timestamptz, $3)
         AND claimed_at >= $4::timestamptz - interval '6 hours' AND completed_at >= $4 AND completed_at < $5
         AND workflow_id IS NOT NULL AND outcome IN ('succeeded', 'rejected')
       ORDER BY claimed_at DESC, idempotency_key DESC LIMIT ${WRITES_A_PAGE}`,
      [companyId, claimedAt, key, days.from, days.to],
    );
    const last = rows.at(-1);
    if (last === undefined) return;
    ({ claimed_at: claimedAt, key } = last);
    if (known.size > KNOWN_RUNS) known.clear();
    const unknown = [...new Set(rows.map((row) => row.workflow_id))].filter((id) => !known.has(id));
    const missing = await notThere(client, unknown);
    for (const id of unknown) if (!missing.has(id)) known.add(id);
    yield { findings: rows.filter((row) => missing.has(row.workflow_id)).map((row) => rowWithoutRun(companyId, row)) };
  }
}

function rowWithoutRun(companyId: string, { key, write_id: writeId, workflow_id: workflowId }: RowOfRun): Finding {
  const detail = `Temporal keeps runs for longer, and has none by the name that the row gives (${workflowId}).`;
  return findingOf({ kind: 'row-without-run', companyId, key, writeId, table: 'idempotent_writes', detail });
}

/** Those of the workflows of which Temporal has no run: not listed, and not found by their name either. */
async function notThere(client: Client, workflowIds: readonly string[]): Promise<ReadonlySet<string>> {
  const missing = new Set(workflowIds);
  for (let from = 0; from < workflowIds.length; from += IDS_A_QUERY) {
    const some = workflowIds.slice(from, from + IDS_A_QUERY);
    const names = some.map((id) => `'${id.replaceAll("'", "''")}'`);
    for await (const { workflowId } of client.workflow.list({ query: `WorkflowId IN (${names.join(', ')})` })) {
      missing.delete(workflowId);
    }
  }
  for (const workflowId of [...missing]) {
    if (await isThere(client, workflowId)) missing.delete(workflowId);
  }
  return missing;
}

async function isThere(client: Client, workflowId: string): Promise<boolean> {
  try {
    await client.workflow.getHandle(workflowId).describe();
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
