import { setTimeout as sleep } from 'node:timers/promises';
import type { NativeConnection } from '@temporalio/worker';
import { DEMO_COMPANY_ID, DEMO_SEED } from '../../activities/demo.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { GRPC, serviceCallCode } from '../../worker/grpc.ts';
import type { TemporalTarget } from '../cli/config.ts';
import { connectTarget, setupTemporal } from '../operator/setup-temporal.ts';

const DELETE_TIMEOUT_MS = 15_000;
const DELETE_POLL_MS = 100;

/**
 * Creates the namespace and search attributes if they are missing. If the demo is new in this database, it also deletes the
 * runs of an earlier demo's seed: the keys are the same, so Temporal would report writes as completed whose records were in
 * the other database.
 */
export async function prepareNamespace(
  target: TemporalTarget,
  { isNewDemo, log }: { isNewDemo: boolean; log: (line: string) => void },
): Promise<void> {
  const connection = await connectTarget(target);
  try {
    await setupTemporal(connection, target.TEMPORAL_NAMESPACE);
    if (isNewDemo) await deleteSeedRuns(connection, target.TEMPORAL_NAMESPACE);
  } catch (error) {
    // We may lack the permission, and someone else may have set it up; the processes check it when they start.
    log(`Temporal is used without setup: ${(error as Error).message}`);
  } finally {
    await connection.close();
  }
}

async function deleteSeedRuns(connection: NativeConnection, namespace: string): Promise<void> {
  const { workflowService } = connection;
  const deadline = performance.now() + DELETE_TIMEOUT_MS;
  for (const { key } of DEMO_SEED) {
    const workflowExecution = { workflowId: workflowIdOf(DEMO_COMPANY_ID, key) };
    if (!(await isFound(workflowService.deleteWorkflowExecution({ namespace, workflowExecution })))) continue;
    // Temporal deletes in the background.
    const describe = () => workflowService.describeWorkflowExecution({ namespace, execution: workflowExecution });
    while (performance.now() < deadline && (await isFound(describe()))) await sleep(DELETE_POLL_MS);
  }
}

async function isFound(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (serviceCallCode(error) === GRPC.notFound) return false;
    throw error;
  }
}
