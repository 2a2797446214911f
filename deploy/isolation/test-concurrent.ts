/** `npm run test:concurrent -- …`: sends many requests of one company at once and checks that each key is one write. */
import { countArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { type SharedOptions, testIsolation, withSharedOptions } from './command.ts';

const MAX_REQUESTS = 100_000;

await run(
  withSharedOptions(
    command('test:concurrent', 'Sends many requests of one company at once and checks that each key is one write.'),
    { concurrency: 500 },
  )
    .option('--requests <n>', 'how many requests', countArgument(MAX_REQUESTS), 500)
    .option('--token <jwt>', "the company's token; on the local system, by default that of a new company")
    .action((options: SharedOptions & { requests: number }) =>
      testIsolation(options, { tenants: 1, requestsPerTenant: options.requests }),
    ),
);
