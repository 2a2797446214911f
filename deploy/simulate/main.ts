/** `npm run simulate -- --operations N --seed S`: a random hour of business, and whether all of it adds up. */
import { countArgument, seedArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { readLocalJson } from '../cli/local-json.ts';
import { createProgress } from '../cli/progress.ts';
import { findSubject, type SubjectOptions } from '../contract/subject.ts';
import { reportOn, simulationText } from './report.ts';
import { simulate } from './simulate.ts';

const MAX_OPERATIONS = 1_000_000;
const MAX_COMPANIES = 100;
const MAX_CONCURRENCY = 1_000;

type Options = SubjectOptions & {
  readonly apiUrl?: string;
  readonly operations: number;
  readonly seed: string;
  readonly companies: number;
  readonly concurrency: number;
  readonly metricsUrl?: readonly string[];
  readonly json?: true;
};

await run(
  command(
    'simulate',
    'Sends random business of new companies through the API: every operation, with duplicates, mismatches, rejections, cancels and approvals. Then compares books, record, metrics and answers.',
  )
    .option(
      '--operations <n>',
      'how many writes, not counting duplicates, mismatches, cancels and decisions',
      countArgument(MAX_OPERATIONS),
      1_000,
    )
    .option('--seed <text>', 'the same seed sends the same requests', seedArgument, 'accubooks')
    .option('--companies <n>', 'in how many companies', countArgument(MAX_COMPANIES), 3)
    .option('--concurrency <n>', 'requests in flight at once', countArgument(MAX_CONCURRENCY), 16)
    .option('--url <url>', 'the API, by default the local one')
    .option('--api-url <url>', 'the same as --url')
    .option('--database-url <url>', "the database behind it, with its owner's login")
    .option('--tenants-file <file>', 'companies to use: the lines of company:create, each with its token')
    .option('--jwt-secret-file <file>', 'the secret that its tokens are signed with')
    .option('--metrics-url <url...>', 'the metrics URLs of all API and worker processes')
    .option('--json', 'prints the result as JSON on stdout')
    .addHelpText(
      'after',
      '\nExcept on the local system, all four options are required: --url, --database-url, --tenants-file, --jwt-secret-file.\nNobody else may write meanwhile, or the metrics differ. Exits 1 when anything differs.',
    )
    .action(simulateHour),
);

async function simulateHour(options: Options): Promise<void> {
  const { seed, operations, concurrency } = options;
  const url = options.url ?? options.apiUrl;
  const subject = await findSubject({ ...options, ...(url && { url }) }, options.companies);
  const local = readLocalJson();
  const localUrls = local?.apiUrl === subject.url ? Object.values(local.metricsUrls) : [];
  const metricsUrls = options.metricsUrl ?? localUrls;
  const report = reportOn(
    await simulate(subject, { seed, operations, concurrency, metricsUrls }, createProgress()),
    seed,
  );
  console.log(options.json ? JSON.stringify(report) : simulationText(report));
  if (report.differences.length > 0) process.exitCode = 1;
}
