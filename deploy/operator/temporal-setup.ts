/** `npm run --silent temporal:setup`: the namespace and the search attributes that the processes ask for at their start. */
import { countArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { temporalTarget } from '../cli/config.ts';
import { connectTarget, DEFAULT_RETENTION_DAYS, setupTemporal } from './setup-temporal.ts';

const MAX_RETENTION_DAYS = 365;

await run(
  command(
    'temporal:setup',
    "Makes Temporal's namespace and search attributes where they are missing, and prints what it made.",
  )
    .option(
      '--retention-days <n>',
      'how long a new namespace remembers finished workflows',
      countArgument(MAX_RETENTION_DAYS),
      DEFAULT_RETENTION_DAYS,
    )
    .addHelpText('after', '\nReads TEMPORAL_ADDRESS (else the running local system) and TEMPORAL_NAMESPACE.')
    .action(async ({ retentionDays }: { retentionDays: number }) => {
      const target = temporalTarget();
      const connection = await connectTarget(target);
      try {
        console.log(JSON.stringify(await setupTemporal(connection, target.TEMPORAL_NAMESPACE, retentionDays)));
      } finally {
        await connection.close();
      }
    }),
);
