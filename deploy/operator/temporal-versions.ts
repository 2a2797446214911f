/** `npm run --silent temporal:versions`: lists the releases of a worker deployment and says which one is current. */
import type { NativeConnection } from '@temporalio/worker';
import { createClient } from '../../worker/client.ts';
import { describeDeployment, setCurrentRelease } from '../../worker/current-release.ts';
import { command, run } from '../cli/command.ts';
import { type TemporalTarget, temporalTarget } from '../cli/config.ts';
import { connectTarget } from './setup-temporal.ts';

type Options = { deployment?: string; setCurrent?: string };

await run(
  command(
    'temporal:versions',
    'Prints {deployment, current, releases: [{buildId, status, openRuns}]}. The pods of a release may be removed when it is not current and its openRuns is 0.',
  )
    .option('--deployment <name>', 'the worker deployment, by default WORKER_DEPLOYMENT_NAME')
    .option('--set-current <build-id>', 'make this release current: it then gets the runs that no API starts')
    .addHelpText('after', '\nUses TEMPORAL_ADDRESS (else the running local system) and TEMPORAL_NAMESPACE.')
    .action(printVersions),
);

async function printVersions({ deployment, setCurrent }: Options): Promise<void> {
  const target = temporalTarget();
  const name = deployment ?? target.WORKER_DEPLOYMENT_NAME;
  if (name === undefined)
    throw new Error('No deployment is named: give --deployment NAME or set WORKER_DEPLOYMENT_NAME.');
  const namespace = target.TEMPORAL_NAMESPACE;
  const connection = await connectTarget(target);
  try {
    if (setCurrent !== undefined) {
      await setCurrentRelease(connection, namespace, { deploymentName: name, buildId: setCurrent });
    }
    const found = await describeDeployment(connection, namespace, name);
    if (found === undefined)
      throw new Error(`Temporal has seen no worker of the deployment ${name} in the namespace ${namespace}.`);
    const releases = await Promise.all(
      found.releases.map(async (release) => ({
        ...release,
        openRuns: await countOpenRuns(connection, target, `${name}:${release.buildId}`),
      })),
    );
    console.log(JSON.stringify({ deployment: name, current: found.current ?? null, releases }));
  } finally {
    await connection.close();
  }
}

/** Includes runs pinned to the release: Temporal's own status "drained" covers only releases that have been current. */
async function countOpenRuns(connection: NativeConnection, target: TemporalTarget, version: string): Promise<number> {
  const query = `TemporalWorkerDeploymentVersion = '${version}' AND ExecutionStatus = 'Running'`;
  return (await createClient(connection, target).workflow.count(query)).count;
}
