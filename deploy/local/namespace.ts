import { setTimeout as sleep } from 'node:timers/promises';
import type { NativeConnection } from '@temporalio/worker';
import { DEMO_COMPANY_ID, DEMO_SEED } from '../../activities/demo.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { GRPC, grpcCode } from '../../worker/grpc.ts';
import type { TemporalTarget } from '../cli/config.ts';
import { connectTarget, setupTemporal } from '../operator/setup-temporal.ts';

const FORGET_TIMEOUT_MS = 15_000;
const FORGET_POLL_MS = 100;

/**
 * Makes the namespace and search attributes where they are missing. When the demo has just been made in this database,
 * what Temporal still knows of an earlier one's seed is deleted: the keys are the same, so it would say "done" of writes
 * whose records went with the other database.
 */
export async function prepareNamespace(
  target: TemporalTarget,
  { isNewDemo, log }: { isNewDemo: boolean; log: (line: string) => void },
): Promise<void> {
  const connection = await connectTarget(target);
  try {
    await setupTemporal(connection, target.TEMPORAL_NAMESPACE);
    if (isNewDemo) await forgetSeed(connection, target.TEMPORAL_NAMESPACE);
  } catch (error) {
    // Others may have set it up, without a right for us to do so; the processes check it at their start.
    log(`Temporal is used as it is: ${(error as Error).message}`);
  } finally {
    await connection.close();
  }
}

async function forgetSeed(connection: NativeConnection, namespace: string): Promise<void> {
  const { workflowService } = connection;
  const deadline = Date.now() + FORGET_TIMEOUT_MS;
  for (const { key } of DEMO_SEED) {
    const workflowExecution = { workflowId: workflowIdOf(DEMO_COMPANY_ID, key) };
    if (!(await isFound(workflowService.deleteWorkflowExecution({ namespace, workflowExecution })))) continue;
    // Deleted in the background.
    const describe = () => workflowService.describeWorkflowExecution({ namespace, execution: workflowExecution });
    while (Date.now() < deadline && (await isFound(describe()))) await sleep(FORGET_POLL_MS);
  }
}

async function isFound(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (grpcCode(error) === GRPC.notFound) return false;
    throw error;
  }
}
