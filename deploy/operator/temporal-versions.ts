/** `npm run --silent temporal:versions`: the releases whose workers Temporal knows, and which of them is current. */
import { Client } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { describeDeployment, setCurrentRelease } from '../../worker/current-release.ts';
import { command, run } from '../cli/command.ts';
import { temporalTarget } from '../cli/config.ts';
import { connectTarget } from './setup-temporal.ts';

type Options = { deployment?: string; setCurrent?: string };

await run(
  command(
    'temporal:versions',
    'Prints {deployment, current, releases: [{buildId, status, openRuns}]}. The pods of a release may go when it is not current and its openRuns is 0.',
  )
    .option('--deployment <name>', 'the worker deployment; else WORKER_DEPLOYMENT_NAME')
    .option('--set-current <build-id>', 'make this release the one that gets what no API starts')
    .addHelpText('after', '\nReads TEMPORAL_ADDRESS (else the running local system) and TEMPORAL_NAMESPACE.')
    .action(printVersions),
);

async function printVersions({ deployment, setCurrent }: Options): Promise<void> {
  const target = temporalTarget();
  const name = deployment ?? target.WORKER_DEPLOYMENT_NAME;
  if (name === undefined) throw new Error('Say which deployment: --deployment NAME, or WORKER_DEPLOYMENT_NAME.');
  const namespace = target.TEMPORAL_NAMESPACE;
  const connection = await connectTarget(target);
  try {
    if (setCurrent !== undefined) {
      await setCurrentRelease(connection, namespace, { deploymentName: name, buildId: setCurrent });
    }
    const found = await describeDeployment(connection, namespace, name);
    if (found === undefined) throw new Error(`Temporal knows no worker of the deployment ${name} in ${namespace}.`);
    const releases = await Promise.all(
      found.releases.map(async (release) => ({
        ...release,
        openRuns: await countOpenRuns(connection, namespace, `${name}:${release.buildId}`),
      })),
    );
    console.log(JSON.stringify({ deployment: name, current: found.current ?? null, releases }));
  } finally {
    await connection.close();
  }
}

/** Those pinned to it count too: Temporal's own "drained" looks only at releases that have been current. */
async function countOpenRuns(connection: NativeConnection, namespace: string, version: string): Promise<number> {
  const query = `TemporalWorkerDeploymentVersion = '${version}' AND ExecutionStatus = 'Running'`;
  return (await new Client({ connection, namespace }).workflow.count(query)).count;
}
