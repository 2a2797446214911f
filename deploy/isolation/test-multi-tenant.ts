/** `npm run test:multi-tenant -- …`: sends the same keys in many companies at once and checks their isolation. */
import { countArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { type SharedOptions, testIsolation, withSharedOptions } from './command.ts';

const MAX_TENANTS = 10_000;
const MAX_REQUESTS_PER_TENANT = 10_000;

await run(
  withSharedOptions(
    command(
      'test:multi-tenant',
      'Sends requests with the same keys in many companies and checks that the companies are isolated.',
    ),
    { concurrency: 256 },
  )
    .option('--tenants <n>', 'how many companies', countArgument(MAX_TENANTS), 100)
    .option('--requests-per-tenant <n>', 'how many requests per company', countArgument(MAX_REQUESTS_PER_TENANT), 50)
    .option('--tenants-file <file>', 'companies to use: the output of company:create, a token on each line')
    .action((options: SharedOptions & { tenants: number; requestsPerTenant: number }) =>
      testIsolation(options, { tenants: options.tenants, requestsPerTenant: options.requestsPerTenant }),
    ),
);
