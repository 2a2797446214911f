/** `npm run simulate -- --operations N --seed S`: a random hour of business, and whether all of it adds up. */
import { InvalidArgumentError } from 'commander';
import { countArgument } from '../cli/arguments.ts';
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
    'Has new companies do business at random through the API: every operation, with duplicates, mismatches, rejections and cancels. Then holds books, record, metrics and answers against each other.',
  )
    .option(
      '--operations <n>',
      'how many writes; duplicates and the like come on top',
      countArgument(MAX_OPERATIONS),
      1_000,
    )
    .option('--seed <text>', 'the same seed sends the same requests', seedArgument, 'accubooks')
    .option('--companies <n>', 'in how many companies', countArgument(MAX_COMPANIES), 3)
    .option('--concurrency <n>', 'requests in flight at once', countArgument(MAX_CONCURRENCY), 16)
    .option('--url <url>', 'another API than the local one')
    .option('--api-url <url>', 'the same as --url')
    .option('--database-url <url>', "the database behind it, by its owner's login")
    .option('--tenants-file <file>', 'companies to use: the lines of company:create, each with its token')
    .option('--jwt-secret-file <file>', 'the secret that its tokens are signed with')
    .option('--metrics-url <url...>', 'metrics of every process of it, APIs and workers')
    .option('--json', 'prints the result as JSON on stdout')
    .addHelpText(
      'after',
      '\nElsewhere than locally --url, --database-url, --tenants-file and --jwt-secret-file are needed; nobody else may write\nthere meanwhile, or the metrics differ. Exits 1 when anything differs.',
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

/** It is a part of keys. */
function seedArgument(text: string): string {
  if (/^[A-Za-z0-9._-]{1,50}$/.test(text)) return text;
  throw new InvalidArgumentError('It must have 1 to 50 letters, digits, dots, dashes or underscores.');
}
