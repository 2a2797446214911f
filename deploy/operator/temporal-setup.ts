/** `npm run --silent temporal:setup`: creates the namespace and the search attributes that the processes require. */
import { countArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { temporalTarget } from '../cli/config.ts';
import { DEFAULT_RETENTION_DAYS } from './retention.ts';
import { connectTarget, setupTemporal } from './setup-temporal.ts';

const MAX_RETENTION_DAYS = 365;

await run(
  command(
    'temporal:setup',
    "Creates Temporal's namespace and search attributes if they are missing, and prints what it created.",
  )
    .option(
      '--retention-days <n>',
      'how long a new namespace retains closed workflows',
      countArgument(MAX_RETENTION_DAYS),
      DEFAULT_RETENTION_DAYS,
    )
    .addHelpText('after', '\nUses TEMPORAL_ADDRESS (else the running local system) and TEMPORAL_NAMESPACE.')
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
