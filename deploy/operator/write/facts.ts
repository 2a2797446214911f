import type { Client } from '@temporalio/client';
import { type Approval, openApproval } from '../../../activities/approvals/approval.ts';
import type { Tx } from '../../../activities/database.ts';
import { OPERATIONS } from '../../../activities/operation-list.ts';
import { readAsCompany } from '../../../activities/read-as-company.ts';
import { rowOrUndefined, type WriteRow } from '../../../activities/write/write-row.ts';
import { createWriteRuns, type FailedAttempts, type RunDescription } from '../../../api/submit/write-runs.ts';
import type { TimelineItem, WriteResource } from '../../../api/writes/resource.ts';
import { type RunStory, readRunStory } from '../../../api/writes/run-story.ts';
import { type Describer, describeFromRecord } from '../../../api/writes/story.ts';
import { callWithin } from '../../../worker/call-within.ts';
import { asUnavailable, TemporalUnavailable } from '../../../worker/temporal-unavailable.ts';
import { isGroupWorkflowId } from '../../../workflows/messages.ts';
import { type BatchFacts, readBatches } from './batches.ts';
import type { Company, OperatorContext } from './context.ts';
import { isReopening } from './reopening.ts';
import { describeGroup, endOfRun, findOpenGroup, type GroupFacts } from './runs.ts';

/** All that is known about one key, as `write show` prints it. */
export type WriteFacts = {
  readonly company: Company;
  readonly key: string;
  readonly state: WriteState;
  /** The answer of `GET /api/writes/{key}` to the company's owner, including the timeline; null for a 404. */
  readonly write: WriteResource | null;
  readonly row: RowFacts | null;
  /** The newest run of the key's own workflow. */
  readonly run: RunFacts | null;
  /** The group that made the write or contains it now. */
  readonly group: GroupFacts | null;
  readonly audit: readonly AuditFacts[];
  readonly event: EventFacts | null;
  /** The batches of which it is a row, the newest first. */
  readonly batches: readonly BatchFacts[];
  /** Why Temporal could not be queried; null if it was. */
  readonly temporalAway: string | null;
};

/**
 * The API's states, and those that only operators see: `travelling` in an open group, `in_batch` as a row that its batch has
 * not written yet, `reopened` after its record was missing, and `unclear` when there is no row and Temporal cannot be queried.
 */
export const STATES = [
  'succeeded',
  'rejected',
  'cancelled',
  'lost',
  'running',
  'travelling',
  'in_batch',
  'failed',
  'unknown',
  'write_record_missing',
  'reopened',
  'never_seen',
  'unclear',
] as const;
type WriteState = (typeof STATES)[number];

type RowFacts = {
  readonly outcome: WriteRow['outcome'];
  readonly statusCode: number;
  readonly errorCode: string | null;
  readonly workflowId: string | null;
  /** Of a lost write, what was asked for, without a person's name: to be looked for in the books. Null otherwise. */
  readonly request: string | null;
};

type RunFacts = {
  readonly workflowId: string;
  readonly runId: string;
  readonly state: RunDescription['state'];
  readonly startedAt: string;
  readonly closedAt: string | null;
  readonly end: string | null;
  readonly failedAttempts: number;
};

type AuditFacts = {
  readonly at: string;
  readonly status: 'new' | 'replayed' | 'failed';
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly userId: string;
  readonly requestId: string;
  readonly durationMs: number;
  /** It records that an operator has reopened the key. */
  readonly isReopening: boolean;
};

type EventFacts = {
  readonly id: string;
  readonly kind: string;
  readonly delivery: string;
  readonly attempts: number;
  readonly lastError: string | null;
  readonly deliveredAt: string | null;
  readonly nextAttemptAt: string | null;
};

/** The newest rows only: a key may have thousands of replays, which the timeline counts where it is shortened. */
const MAX_AUDIT_ROWS = 100;
/** For all queries to Temporal together. */
const TEMPORAL_LIMIT_MS = 15_000;

/** Treats a Temporal server that stops answering meanwhile like one that cannot be reached. */
export async function readFacts(context: OperatorContext, company: Company, key: string): Promise<WriteFacts> {
  const client = clientOf(context);
  if (client === undefined) return gather(context, company, key);
  try {
    return await callWithin(client.connection, TEMPORAL_LIMIT_MS, () => gather(context, company, key));
  } catch (error) {
    const unavailable = asUnavailable(error);
    if (!(unavailable instanceof TemporalUnavailable)) throw error;
    return gather({ ...context, temporal: { unavailable: unavailable.message } }, company, key);
  }
}

async function gather(context: OperatorContext, company: Company, key: string): Promise<WriteFacts> {
  const record = await readRecord(context, company, key);
  const known = {
    company,
    key,
    audit: record.audit,
    event: record.event,
    row: record.row,
    batches: record.batches,
    temporalAway: unavailableReason(context),
  };
  if (record.row !== null)
    return {
      ...known,
      state: record.row.outcome,
      write: record.write,
      ...(await runsOf(context, record, company, key)),
    };
  const client = clientOf(context);
  if (client === undefined) {
    return {
      ...known,
      state: record.write === null ? 'unclear' : 'failed',
      write: record.write,
      run: null,
      group: null,
    };
  }
  const runs = createWriteRuns(client, { taskQueue: context.taskQueue });
  const run = await runs.describe(company.id, key);
  if (run === undefined) {
    const group = await findOpenGroup(client, company.id, key);
    if (group !== undefined) {
      const facts = await describeGroup(client, group);
      return { ...known, state: 'travelling', write: null, run: null, group: facts };
    }
    // A reopened write of a group has neither a row nor a run of its own.
    const unseen = record.audit.at(-1)?.isReopening === true ? 'reopened' : unwritten(record);
    return {
      ...known,
      state: record.write === null ? unseen : 'failed',
      write: record.write,
      run: null,
      group: null,
    };
  }
  // The run may have closed after the record was read: read it again.
  if (run.state !== 'running') {
    const again = await readRecord(context, company, key);
    if (again.row !== null) return gather(context, company, key);
  }
  const story = await readRunStory({
    runs,
    run,
    idempotencyKey: key,
    audited: record.audited,
    describer: describerOf(context, company),
    limitMs: TEMPORAL_LIMIT_MS,
  });
  return {
    ...known,
    state: operatorState(run, story),
    write: story.write ?? null,
    run: await runFacts(client, run, story.attempts),
    group: null,
  };
}

function unwritten({ batches }: Known): WriteState {
  return batches.some(({ outcome }) => outcome === 'pending') ? 'in_batch' : 'never_seen';
}

/** Two that the API calls unknown are told apart: a record that is missing, and a key that was reopened for that. */
function operatorState(run: RunDescription, { state }: RunStory): WriteState {
  if (run.state === 'completed') return 'write_record_missing';
  return isReopening(run.memo) ? 'reopened' : state;
}

/** For people: the run or the group that wrote the row. */
async function runsOf(context: OperatorContext, { row }: Known, company: Company, key: string) {
  const client = clientOf(context);
  if (client === undefined || row === null) return { run: null, group: null };
  const runs = createWriteRuns(client, { taskQueue: context.taskQueue });
  const run = await runs.describe(company.id, key);
  const attempts = run && (await runs.failedAttempts(company.id, key, run.runId).catch(() => undefined));
  const { workflowId } = row;
  return {
    run: run === undefined ? null : await runFacts(client, run, attempts),
    group: workflowId !== null && isGroupWorkflowId(workflowId) ? await describeGroup(client, workflowId) : null,
  };
}

async function runFacts(client: Client, run: RunDescription, attempts: FailedAttempts | undefined): Promise<RunFacts> {
  const { workflowId, runId, state, startedAt, closedAt } = run;
  return {
    workflowId,
    runId,
    state,
    startedAt: startedAt.toISOString(),
    closedAt: closedAt?.toISOString() ?? null,
    end: (await endOfRun(client, workflowId, runId)) ?? null,
    failedAttempts: attempts?.count ?? 0,
  };
}

type Known = {
  readonly row: RowFacts | null;
  readonly write: WriteResource | null;
  readonly audited: readonly TimelineItem[];
  readonly audit: readonly AuditFacts[];
  readonly event: EventFacts | null;
  readonly batches: readonly BatchFacts[];
};

function readRecord(context: OperatorContext, company: Company, key: string): Promise<Known> {
  return readAsCompany(context.database.reads, company.id, async (tx) => {
    const [found] = await tx.query<WriteRow & { readonly approval: Approval | null }>(
      'SELECT l.approval, (l.write).* FROM lookup_write(p_company => $1, p_subject => NULL, p_key => $2) AS l',
      [company.id, key],
    );
    const row = found === undefined ? undefined : rowOrUndefined(found);
    const audit = await readAudit(tx, key);
    const requestIds = audit.map(({ requestId }) => requestId);
    const { write, audited } = await describeFromRecord(
      tx,
      key,
      { row, approval: openApproval(found?.approval) },
      describerOf(context, company),
    );
    return {
      row: row === undefined ? null : rowFacts(row),
      write: write ?? null,
      audited,
      audit,
      event: row?.write_id == null ? null : await readEvent(tx, row.write_id),
      batches: await readBatches(tx, key, row === undefined ? requestIds : [row.request_id, ...requestIds]),
    };
  });
}

/** Operators see what the company's owner sees. */
function describerOf({ ui }: OperatorContext, company: Company): Describer {
  return { reader: { companyId: company.id, userId: '', roles: ['owner'] }, operations: OPERATIONS, ui };
}

function rowFacts(row: WriteRow): RowFacts {
  const problem = row.outcome === 'succeeded' ? undefined : JSON.parse(row.response_body.toString());
  return {
    outcome: row.outcome,
    statusCode: row.status_code,
    errorCode: problem?.code ?? null,
    workflowId: row.workflow_id,
    request: row.outcome === 'lost' ? summaryOf(row) : null,
  };
}

function summaryOf({ operation, request }: WriteRow): string {
  const known = OPERATIONS.find(({ name }) => name === operation);
  // The request may be of a later release than this one.
  if (known === undefined || request === null) return operation ?? 'unknown';
  return known.summarize(request);
}

async function readAudit(tx: Tx, key: string): Promise<AuditFacts[]> {
  const newest = await tx.query<AuditFacts>(
    `SELECT timestamp AS at, status, error_code AS "errorCode", error_message AS "errorMessage", user_id AS "userId",
       request_id AS "requestId", execution_duration_ms AS "durationMs",
       metadata @> '{"action": "reopen"}' AS "isReopening"
     FROM idempotent_write_audit_log WHERE company_id = current_company() AND idempotency_key = $1
     ORDER BY timestamp DESC, id DESC LIMIT $2`,
    [key, MAX_AUDIT_ROWS],
  );
  return newest.toReversed();
}

async function readEvent(tx: Tx, writeId: string): Promise<EventFacts | null> {
  const [event] = await tx.query<EventFacts>(
    `SELECT id, kind, delivery_state AS delivery, attempts, last_error AS "lastError", delivered_at AS "deliveredAt",
       next_attempt_at AS "nextAttemptAt"
     FROM outbox WHERE company_id = current_company() AND write_id = $1`,
    [writeId],
  );
  return event ?? null;
}

function clientOf({ temporal }: OperatorContext) {
  return 'unavailable' in temporal ? undefined : temporal;
}

function unavailableReason({ temporal }: OperatorContext): string | null {
  return 'unavailable' in temporal ? temporal.unavailable : null;
}
