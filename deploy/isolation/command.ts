import { type Command, InvalidArgumentError, Option } from 'commander';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { countArgument } from '../cli/arguments.ts';
import { createProgress } from '../cli/progress.ts';
import { findTarget, type TargetOptions } from '../cli/target.ts';
import { runIsolation } from './isolation.ts';
import { isolationText, reportOn } from './report.ts';

/** The options that `test:concurrent` and `test:multi-tenant` share. */
export type SharedOptions = TargetOptions & {
  readonly operation: string;
  readonly concurrency: number;
  readonly duplicates: number;
  readonly json?: true;
};

/** Most systems do not let a process open more connections than this. */
const MAX_CONCURRENCY = 5_000;

export function withSharedOptions(command: Command, { concurrency }: { concurrency: number }): Command {
  return command
    .addOption(
      new Option('--operation <name>', 'the operation to send, built from its example')
        .choices(OPERATIONS.map(({ name }) => name))
        .default('createPayment'),
    )
    .option('--concurrency <n>', 'requests in flight at once', countArgument(MAX_CONCURRENCY), concurrency)
    .option('--duplicates <share>', 'the share of requests that repeat the key of another', shareArgument, 0)
    .option('--url <url>', 'the API, by default the local one')
    .option('--database-url <url>', "the database behind it, with its owner's login, for the checks")
    .option('--json', 'print the result as JSON')
    .addHelpText('after', '\nExits 1 if an answer or a stored row violates a promise.');
}

/** Sends the load and prints the result; sets exit code 1 if something was violated. */
export async function testIsolation(
  options: SharedOptions,
  { tenants, requestsPerTenant }: { tenants: number; requestsPerTenant: number },
): Promise<void> {
  const operation = OPERATIONS.find(({ name }) => name === options.operation);
  if (operation === undefined) throw new Error(`Bug! There is no operation ${options.operation}`);
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
  throw new InvalidArgumentError('It must be at least 0 and less than 1, such as 0.5.');
}
