import { setTimeout as sleep } from 'node:timers/promises';
import type { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { ProcessConfig } from './config.ts';
import { GRPC, grpcCode } from './grpc.ts';
import { deploymentVersion } from './versioning.ts';

/**
 * Temporal routes what no API starts (webhook calls, triggered workflows, schedules) to the *current* release of a
 * deployment. As long as there is none, versioned workers are given none of it.
 */
type Deployment = {
  /** The build ID; undefined as long as no release is current. */
  readonly current: string | undefined;
  readonly releases: readonly { readonly buildId: string; readonly status: string }[];
  /** Of the state that was read, for a change that rests on it. */
  readonly token: Uint8Array | undefined;
};

/** As Temporal numbers them; `inactive` has never been current, and may have open runs all the same. */
const STATUSES = ['unspecified', 'inactive', 'current', 'ramping', 'draining', 'drained', 'created'];
const RETRY_MS = 1_000;
const WARN_EVERY = 30;

/** Undefined when Temporal knows no worker of that deployment. */
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
    if (grpcCode(error) === GRPC.notFound) return undefined;
    throw error;
  }
}

/** Refused by Temporal when workers of that release do not poll the queues that those of the present one do. */
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
 * The first release of an installation makes itself current, so that nothing is left lying before an operator knows of
 * such things. Later ones are made current when they have the traffic (docs/deploying.md). Never throws.
 */
export async function becomeCurrentIfNoneIs(
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
      // Its workers are known to Temporal a moment after their first poll.
      if (deployment?.releases.some(({ buildId }) => buildId === version.buildId)) {
        await setCurrentRelease(connection, config.TEMPORAL_NAMESPACE, version, deployment.token);
        logger.info({ version }, 'This release is now the current one: the first of its deployment');
        return;
      }
    } catch (error) {
      if (attempt % WARN_EVERY === 0) logger.warn({ err: error, version }, 'No release is current yet');
    }
    await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}
