import { setTimeout as sleep } from 'node:timers/promises';
import type { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { ProcessConfig } from './config.ts';
import { GRPC, serviceCallCode } from './grpc.ts';
import { deploymentVersion } from './versioning.ts';

/**
 * Temporal routes runs that the API does not start (webhook calls, triggered workflows, schedules) to the *current*
 * release of a deployment. While no release is current, versioned workers get none of these runs.
 */
type Deployment = {
  /** Its build ID; undefined while no release is current. */
  readonly current: string | undefined;
  readonly releases: readonly { readonly buildId: string; readonly status: string }[];
  /** The conflict token of the state that was read: a change based on it fails when the state has changed since. */
  readonly token: Uint8Array | undefined;
};

/** By Temporal's enum values. An `inactive` release has never been current but may have open runs. */
const STATUSES = ['unspecified', 'inactive', 'current', 'ramping', 'draining', 'drained', 'created'];
const RETRY_MS = 1_000;
const WARN_EVERY = 30;

/** Undefined when no worker of that deployment has ever polled. */
export async function describeDeployment(
  connection: NativeConnection,
  namespace: string,
  deploymentName: string,
): Promise<Deployment | undefined> {
  try {
    const answer = await connection.workflowService.describeWorkerDeployment({ namespace, deploymentName });
    const info = answer.workerDeploymentInfo;
    return {
      current: info?.routingConfig?.currentDeploymentVersion?.buildId ?? undefined,
      releases: (info?.versionSummaries ?? []).map(({ deploymentVersion: version, status }) => ({
        buildId: version?.buildId ?? '',
        status: STATUSES[status ?? 0] ?? 'unspecified',
      })),
      token: answer.conflictToken ?? undefined,
    };
  } catch (error) {
    if (serviceCallCode(error) === GRPC.notFound) return undefined;
    throw error;
  }
}

/** Temporal refuses this while workers of that release do not poll every task queue of the current one. */
export async function setCurrentRelease(
  connection: NativeConnection,
  namespace: string,
  version: { readonly deploymentName: string; readonly buildId: string },
  conflictToken?: Uint8Array,
): Promise<void> {
  await connection.workflowService.setWorkerDeploymentCurrentVersion({
    namespace,
    ...version,
    ...(conflictToken === undefined ? {} : { conflictToken }),
  });
}

/**
 * The first release of an installation makes itself current, so that its events and schedules run without an operator.
 * An operator makes each later release current when it has the traffic (docs/deploying.md). Never throws.
 */
export async function makeFirstReleaseCurrent(
  connection: NativeConnection,
  config: ProcessConfig,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const version = deploymentVersion(config);
  if (version === undefined) return;
  for (let attempt = 1; !signal.aborted; attempt += 1) {
    try {
      const deployment = await describeDeployment(connection, config.TEMPORAL_NAMESPACE, version.deploymentName);
      if (deployment?.current !== undefined) return;
      // Temporal lists a release a moment after its workers' first poll.
      if (deployment?.releases.some(({ buildId }) => buildId === version.buildId)) {
        await setCurrentRelease(connection, config.TEMPORAL_NAMESPACE, version, deployment.token);
        logger.info({ version }, 'This release is the first of its deployment and is now current');
        return;
      }
    } catch (error) {
      if (attempt % WARN_EVERY === 0) logger.warn({ err: error, version }, 'No release is current yet');
    }
    await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}
