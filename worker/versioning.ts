import { setTimeout as sleep } from 'node:timers/promises';
import type { VersioningBehavior, VersioningOverride, WorkerDeploymentVersion } from '@temporalio/common';
import type { NativeConnection, WorkerOptions } from '@temporalio/worker';
import type { ProcessConfig } from './config.ts';
import { GRPC, serviceCallCode } from './grpc.ts';

/** Normally one or two polls; longer while the server is still starting. */
const KNOWN_WITHIN_MS = 30_000;
const KNOWN_POLL_MS = 100;
/** `TASK_QUEUE_TYPE_WORKFLOW` of Temporal's API, which the SDK does not export. */
const WORKFLOW_QUEUE = 1;

/**
 * Worker versioning. With a named release (`WORKER_DEPLOYMENT_NAME`, `WORKER_BUILD_ID`), the release that started a run
 * finishes it, or the current release does, even when others poll the same queue. Without one, any worker takes any task.
 *
 * A write ends within seconds, so its run is `PINNED` to the release that started it, unless it waits for an approval: then the
 * worker lets go of the release (`approvals/keep-approvals.ts`). A webhook run may sleep for a day
 * between two calls: pinned, it would need its release's pods for that long. With `AUTO_UPGRADE` it moves to the current
 * release, whose workflows must replay the histories of earlier releases (test/slow/replay-history.test.ts).
 */
export function workerVersioning(
  config: ProcessConfig,
  behavior: VersioningBehavior,
): Pick<WorkerOptions, 'workerDeploymentOptions'> {
  const version = deploymentVersion(config);
  if (version === undefined) return {};
  return { workerDeploymentOptions: { version, useWorkerVersioning: true, defaultVersioningBehavior: behavior } };
}

/**
 * Start options that pin a write to the release that validated it. Without them a start that is not eager would go to the
 * current release and be pinned there by its first task, even if that release does not know the operation. Items that leave
 * a group inherit the pin.
 */
export function pinnedToOwnRelease(config: ProcessConfig): { versioningOverride?: VersioningOverride } {
  const pinnedTo = deploymentVersion(config);
  return pinnedTo === undefined ? {} : { versioningOverride: { pinnedTo } };
}

/** Start options of a run that may wait for longer than its release lives: each of its tasks goes to the current one. */
export function notPinned(config: ProcessConfig): { versioningOverride?: VersioningOverride } {
  return deploymentVersion(config) === undefined ? {} : { versioningOverride: 'AUTO_UPGRADE' };
}

/**
 * Resolves when Temporal has seen this release's workers poll the write queue; until then it refuses a start that is pinned
 * to the release. Throws when that takes too long.
 */
export async function untilReleaseIsKnown(connection: NativeConnection, config: ProcessConfig): Promise<void> {
  const version = deploymentVersion(config);
  if (version === undefined) return;
  const deadline = performance.now() + KNOWN_WITHIN_MS;
  while (!(await isPolled(connection, config, version))) {
    if (performance.now() > deadline) {
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
    if (serviceCallCode(error) === GRPC.notFound) return false;
    throw error;
  }
}

export function deploymentVersion(config: ProcessConfig): WorkerDeploymentVersion | undefined {
  const { WORKER_DEPLOYMENT_NAME: deploymentName, WORKER_BUILD_ID: buildId } = config;
  return deploymentName === undefined || buildId === undefined ? undefined : { deploymentName, buildId };
}
