import { withTimeout } from '../../worker/timeouts.ts';
import type { FailedAttempts, RunDescription, WriteRuns } from '../submit/write-runs.ts';
import type { TimelineItem, WriteResource } from './resource.ts';
import { type Describer, describeFromRun } from './story.ts';

/** The state of a run without a row, and its write. */
export type RunStory = {
  readonly state: 'running' | 'failed' | 'unknown';
  /** Undefined if none has failed, and if Temporal stops answering. */
  readonly attempts: FailedAttempts | undefined;
  /** Undefined where the reader may not know of it. */
  readonly write: WriteResource | undefined;
};

type RunQuery = {
  readonly runs: WriteRuns;
  readonly run: RunDescription;
  readonly idempotencyKey: string;
  /** What the audit log has of the key. */
  readonly audited: readonly TimelineItem[];
  readonly describer: Describer;
  /** For each question to Temporal. */
  readonly limitMs: number;
};

/** Asks Temporal what became of the run. The API and `write -- show` both describe a write without a row with this. */
export async function readRunStory(query: RunQuery): Promise<RunStory> {
  const { run, idempotencyKey, audited, describer } = query;
  const state = await stateOfRun(query);
  const attempts = await failedAttempts(query);
  return { state, attempts, write: describeFromRun(idempotencyKey, run, state, { audited, attempts }, describer) };
}

/**
 * A run that has closed has failed only when the activity itself said so: one that was ended from outside may have a
 * transaction under way, and one that has completed has a record that is missing.
 */
async function stateOfRun({ runs, run, idempotencyKey, describer, limitMs }: RunQuery): Promise<RunStory['state']> {
  if (run.state === 'running') return 'running';
  if (run.state === 'completed') return 'unknown';
  const end = await withTimeout(runs.waitUntilClosed(describer.reader.companyId, idempotencyKey, run.runId), limitMs);
  return end !== undefined && end !== 'still open' && end.kind === 'rolledBack' ? 'failed' : 'unknown';
}

/** Omitted when Temporal stops answering. */
function failedAttempts({
  runs,
  run,
  idempotencyKey,
  describer,
  limitMs,
}: RunQuery): Promise<FailedAttempts | undefined> {
  return withTimeout(runs.failedAttempts(describer.reader.companyId, idempotencyKey, run.runId), limitMs).catch(
    () => undefined,
  );
}
