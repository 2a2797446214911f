import { type BatchRow, batchColumns } from '../../activities/batches/batch-row.ts';
import { transaction } from '../../activities/database.ts';
import { requireTrust } from '../../activities/write/fence.ts';
import type { ApiContext } from '../context.ts';
import { ApiProblem } from '../http/problems.ts';

export type BatchAction = 'pause' | 'resume' | 'cancel' | 'retry-failed';

/** Throws `batch_state_conflict` where the state of the batch does not allow it. */
export async function controlBatch(
  { database, fence }: ApiContext,
  { company_id: companyId, id }: BatchRow,
  action: BatchAction,
): Promise<BatchRow> {
  const { version } = requireTrust(fence);
  const [found] = await transaction(database.reads, (tx) =>
    tx.query<{ changed: boolean } & BatchRow>(
      `SELECT c.changed, ${batchColumns('(c.batch)')} FROM control_batch($1, $2, $3, $4) AS c`,
      [companyId, id, action, version],
    ),
  );
  if (found === undefined) throw new Error('Bug! A function returned no row');
  if (found.changed) return found;
  throw new ApiProblem('batch_state_conflict', { detail: refusal(found, action) });
}

function refusal({ state, failed, refused }: BatchRow, action: BatchAction): string {
  if (action !== 'retry-failed' || state !== 'completed') return `The batch is ${state}: ${WHEN[action]}`;
  if (failed + refused === 0) return 'The batch is completed, and no row of it is failed or refused.';
  return `The file of the batch is no longer kept. Send it again with a new key: rows that are done are replays, and the ${failed + refused} that are failed or refused are tried again.`;
}

const WHEN: Record<BatchAction, string> = {
  pause: 'only a batch that is queued or running can be paused.',
  resume: 'only a batch that is paused can be resumed.',
  cancel: 'a batch that is over cannot be cancelled.',
  'retry-failed': 'only a batch that is completed can be retried.',
};
