import { TemporalUnavailable } from '../../worker/temporal-unavailable.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { ApiContext } from '../context.ts';
import type { RunDescription } from '../submit/write-runs.ts';

/** With Temporal frozen, what a request asks it is given up after this time. */
const DESCRIBE_LIMIT_MS = 2_000;

/** The newest run of the write, undefined if Temporal has none. Throws instead of waiting for a frozen server. */
export async function describeInTime(
  { runs }: Pick<ApiContext, 'runs'>,
  companyId: string,
  idempotencyKey: string,
): Promise<RunDescription | undefined> {
  const described = await withTimeout(
    runs.describe(companyId, idempotencyKey).then((run) => ({ run })),
    DESCRIBE_LIMIT_MS,
  );
  if (described === undefined) throw new TemporalUnavailable(new Error(`No answer within ${DESCRIBE_LIMIT_MS} ms`));
  return described.run;
}

/**
 * Why a write that the database has waiting for its approval does not wait. Undefined where it does, or has got its row at this
 * moment.
 *
 * A database that was restored to before the answer of a write has its request for approval, open. Until the runs of keys have
 * been compared with their rows, which marks such a write as lost, only Temporal can tell: the run of what waits is not completed.
 * Throws TemporalUnavailable.
 */
export async function lostAnswer(
  { fence, lookups, runs }: Pick<ApiContext, 'fence' | 'lookups' | 'runs'>,
  companyId: string,
  idempotencyKey: string,
): Promise<'write_record_missing' | 'outcome_unknown' | undefined> {
  if (fence.mayGroup) return undefined;
  const newest = await describeInTime({ runs }, companyId, idempotencyKey);
  if (newest?.state !== 'completed') return undefined;
  if ((await lookups.findRow(companyId, idempotencyKey)) !== undefined) return undefined;
  // Of a run that we have not started, nothing is known: anyone who reaches Temporal may have completed it.
  return newest.memo === undefined ? 'outcome_unknown' : 'write_record_missing';
}
