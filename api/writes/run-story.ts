import { withTimeout } from '../http/timeouts.ts';
import type { FailedAttempts, RunDescription, WriteRuns } from '../submit/write-runs.ts';
import type { TimelineItem, WriteResource } from './resource.ts';
import { type Describer, describeFromRun } from './story.ts';

/** How a run stands that has left no row, and the story of its write. */
export type RunStory = {
  readonly state: 'running' | 'failed' | 'unknown';
  /** Undefined where none has failed, and where Temporal does not answer any more. */
  readonly attempts: FailedAttempts | undefined;
  /** Undefined where the reader may not know of it. */
  readonly write: WriteResource | undefined;
};

type Asked = {
  readonly runs: WriteRuns;
  readonly run: RunDescription;
  readonly idempotencyKey: string;
  /** What the audit log has of the key. */
  readonly audited: readonly TimelineItem[];
  readonly describer: Describer;
  /** For each question to Temporal. */
  readonly limitMs: number;
};

/** Asks Temporal what became of the run. Both the API and the operator's command tell a write without a row by this. */
export async function readRunStory(asked: Asked): Promise<RunStory> {
  const { run, idempotencyKey, audited, describer } = asked;
  const state = await stateOfRun(asked);
  const attempts = await failedAttempts(asked);
  return { state, attempts, write: describeFromRun(idempotencyKey, run, state, { audited, attempts }, describer) };
}

/**
 * A run that has closed has failed only when the activity itself said so: one that was ended from outside may have a
 * transaction under way, and one that has completed has a record that is missing.
 */
async function stateOfRun({ runs, run, idempotencyKey, describer, limitMs }: Asked): Promise<RunStory['state']> {
  if (run.state === 'running') return 'running';
  if (run.state === 'completed') return 'unknown';
  const end = await withTimeout(runs.waitUntilClosed(describer.reader.companyId, idempotencyKey, run.runId), limitMs);
  return end !== undefined && end !== 'still open' && end.kind === 'rolledBack' ? 'failed' : 'unknown';
}

/** The story is told without them where Temporal has just gone away. */
function failedAttempts({ runs, run, idempotencyKey, describer, limitMs }: Asked): Promise<FailedAttempts | undefined> {
  return withTimeout(runs.failedAttempts(describer.reader.companyId, idempotencyKey, run.runId), limitMs).catch(
    () => undefined,
  );
}
