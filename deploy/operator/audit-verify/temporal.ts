import type { AuditCheck } from '../../../activities/auditor/check.ts';
import { CouldNotAsk } from '../../../activities/auditor/check.ts';
import type { OutsideOptions } from '../../../activities/auditor/outside-heads.ts';
import { memoHeadsCheck } from '../../../worker/auditor/memo-heads-check.ts';
import { runsCheck } from '../../../worker/auditor/runs-check.ts';
import { createClient } from '../../../worker/client.ts';
import { type TemporalTarget, temporalTarget } from '../../cli/config.ts';
import { connectWithTimeout } from '../write/context.ts';

/** The comparisons with Temporal's runs, and the heads that they have kept; one that says why it cannot be asked where Temporal does not answer. */
export async function openTemporal(
  outside: OutsideOptions,
): Promise<{ readonly checks: readonly AuditCheck[]; close(): Promise<void> }> {
  let target: TemporalTarget;
  try {
    target = temporalTarget();
  } catch (error) {
    return unavailable((error as Error).message);
  }
  const connection = await connectWithTimeout(target);
  if ('unavailable' in connection) return unavailable(connection.unavailable);
  const client = createClient(connection, target);
  const taskQueue = target.TEMPORAL_TASK_QUEUE;
  return {
    checks: [runsCheck({ client, taskQueue }), memoHeadsCheck({ client, taskQueue, ...outside })],
    close: () => connection.close(),
  };
}

function unavailable(why: string) {
  const check: AuditCheck = {
    name: 'runs',
    reads: 'the runs in Temporal',
    each: 'everything',
    run: () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new CouldNotAsk(why)) }) }),
  };
  return { checks: [check], close: async () => undefined };
}
