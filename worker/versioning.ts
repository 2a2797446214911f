import { setTimeout as sleep } from 'node:timers/promises';
import type { VersioningOverride, WorkerDeploymentVersion } from '@temporalio/common';
import type { NativeConnection, WorkerOptions } from '@temporalio/worker';
import type { ProcessConfig } from './config.ts';
import { GRPC, grpcCode } from './grpc.ts';

/** A poll or two; a server that is starting needs longer. */
const KNOWN_WITHIN_MS = 30_000;
const KNOWN_POLL_MS = 100;
/** `TASK_QUEUE_TYPE_WORKFLOW` of Temporal's API, which the SDK does not export. */
const WORKFLOW_QUEUE = 1;

/**
 * A write ends within seconds, on the release that began it. What Temporal starts by itself may sleep for a day between two
 * calls of a webhook: pinned, it would keep its release's pods for so long, and be stranded without them. It goes on with the
 * current release instead, whose workflows must replay what those before have recorded (test/slow/replay-history.test.ts).
 */
type Stay = 'PINNED' | 'AUTO_UPGRADE';

/**
 * Worker versioning: where a release names itself (`WORKER_DEPLOYMENT_NAME`, `WORKER_BUILD_ID`), a run is finished by the
 * release that began it, or by the current one, whichever others poll the same queue. Where it does not, any worker takes any
 * task.
 */
export function workerVersioning(config: ProcessConfig, stay: Stay): Pick<WorkerOptions, 'workerDeploymentOptions'> {
  const version = deploymentVersion(config);
  if (version === undefined) return {};
  return { workerDeploymentOptions: { version, useWorkerVersioning: true, defaultVersioningBehavior: stay } };
}

/**
 * For the start of a write: it goes to workers of the release that has validated it. Without this it would go to the
 * current release, unless the start is eager, and be pinned there by its first task, even if that release does not know
 * what it is asked for. A group's items inherit it when they leave.
 */
export function pinnedToOwnRelease(config: ProcessConfig): { versioningOverride?: VersioningOverride } {
  const pinnedTo = deploymentVersion(config);
  return pinnedTo === undefined ? {} : { versioningOverride: { pinnedTo } };
}

/**
 * Resolves when Temporal knows this release's workers on the queue of the writes, by their polls: until then it refuses a
 * start that is pinned to the release. Throws when it does not get to know them.
 */
export async function untilReleaseIsKnown(connection: NativeConnection, config: ProcessConfig): Promise<void> {
  const version = deploymentVersion(config);
  if (version === undefined) return;
  const deadline = Date.now() + KNOWN_WITHIN_MS;
  while (!(await isPolled(connection, config, version))) {
    if (Date.now() > deadline) {
      throw new Error(
        `Temporal does not know ${version.deploymentName}:${version.buildId} after ${KNOWN_WITHIN_MS / 1_000} s, though its workers poll`,
      );
    }
    await sleep(KNOWN_POLL_MS);
  }
}

async function isPolled(connection: NativeConnection, config: ProcessConfig, version: WorkerDeploymentVersion) {
  const namespace = config.TEMPORAL_NAMESPACE;
  try {
    const { versionTaskQueues: queues } = await connection.workflowService.describeWorkerDeploymentVersion({
      namespace,
      deploymentVersion: version,
    });
    return queues?.some(({ name, type }) => name === config.TEMPORAL_TASK_QUEUE && type === WORKFLOW_QUEUE) ?? false;
  } catch (error) {
    if (grpcCode(error) === GRPC.notFound) return false;
    throw error;
  }
}

export function deploymentVersion(config: ProcessConfig): WorkerDeploymentVersion | undefined {
  const { WORKER_DEPLOYMENT_NAME: deploymentName, WORKER_BUILD_ID: buildId } = config;
  return deploymentName === undefined || buildId === undefined ? undefined : { deploymentName, buildId };
}
