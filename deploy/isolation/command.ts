import { type Command, InvalidArgumentError, Option } from 'commander';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { countArgument } from '../cli/arguments.ts';
import { createProgress } from '../cli/progress.ts';
import { findTarget, type TargetOptions } from '../client/target.ts';
import { runIsolation } from './isolation.ts';
import { isolationText, reportOn } from './report.ts';

/** What `test:concurrent` and `test:multi-tenant` share. */
export type SharedOptions = TargetOptions & {
  readonly operation: string;
  readonly concurrency: number;
  readonly duplicates: number;
  readonly json?: true;
};

/** More connections than most systems let one process open. */
const MAX_CONCURRENCY = 5_000;

export function withSharedOptions(command: Command, { concurrency }: { concurrency: number }): Command {
  return command
    .addOption(
      new Option('--operation <name>', 'which operation, by its example')
        .choices(OPERATIONS.map(({ name }) => name))
        .default('createPayment'),
    )
    .option('--concurrency <n>', 'requests in flight at once', countArgument(MAX_CONCURRENCY), concurrency)
    .option('--duplicates <share>', 'this share of the requests repeats the key of another', shareArgument, 0)
    .option('--url <url>', 'another API than the local one')
    .option('--database-url <url>', "the database behind it, by its owner's login, to check the outcome in")
    .option('--json', 'prints the result as JSON on stdout')
    .addHelpText('after', '\nExits 1 when anything is answered or stored otherwise than promised.');
}

/** Sends the load, prints what came of it, and leaves exit code 1 where something was violated. */
export async function testIsolation(
  options: SharedOptions,
  { tenants, requestsPerTenant }: { tenants: number; requestsPerTenant: number },
): Promise<void> {
  const operation = OPERATIONS.find(({ name }) => name === options.operation);
  if (operation === undefined) throw new Error(`Bug! No operation ${options.operation}`);
  const target = await findTarget(options, tenants);
  const { duplicates, concurrency } = options;
  const run = await runIsolation(target, { operation, requestsPerTenant, duplicates, concurrency }, createProgress());
  const report = reportOn(run);
  console.log(options.json ? JSON.stringify({ operation: operation.name, ...report }) : isolationText(report));
  if (report.violations.length > 0) process.exitCode = 1;
}

function shareArgument(text: string): number {
  const share = Number(text);
  if (text.trim() !== '' && share >= 0 && share < 1) return share;
  throw new InvalidArgumentError('It must be a share from 0 to less than 1, such as 0.5.');
}
