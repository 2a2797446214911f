/** `npm run test:concurrent -- …`: many requests of one company at once, and whether each key became one write. */
import { countArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { type SharedOptions, testIsolation, withSharedOptions } from './command.ts';

const MAX_REQUESTS = 100_000;

await run(
  withSharedOptions(
    command('test:concurrent', 'Sends many requests of one company at once and checks what became of them.'),
    { concurrency: 500 },
  )
    .option('--requests <n>', 'how many', countArgument(MAX_REQUESTS), 500)
    .option('--token <jwt>', 'as whom; on the local system a company of its own by default')
    .action((options: SharedOptions & { requests: number }) =>
      testIsolation(options, { tenants: 1, requestsPerTenant: options.requests }),
    ),
);
