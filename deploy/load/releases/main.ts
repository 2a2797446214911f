/** `npm run benchmark:releases -- …`: what a release costs against an earlier one, both running on this machine. */
import { countArgument } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { median, shownMs } from '../../cli/latencies.ts';
import { textTable } from '../../cli/table.ts';
import { conditions } from '../benchmark/report.ts';
import type { Segment } from '../benchmark/segment.ts';
import { type CompareOptions, type Comparison, compareReleases, cpuOfServers, type Folders } from './compare.ts';

const CODE_OF_SIGINT = 130;

await run(
  command(
    'benchmark:releases',
    'Sends payments to two releases in turn, while both run on this machine, and compares their speed.',
  )
    .requiredOption('--before <folder>', 'the data folder (.data) of the earlier release')
    .requiredOption('--after <folder>', 'the data folder of the later release')
    .option('--concurrency <n>', 'how many clients, each waiting for its answer', countArgument(2_000), 128)
    .option('--seconds <s>', 'how long to measure each of them in a pair', countArgument(3_600), 4)
    .option('--pairs <n>', 'how many pairs', countArgument(1_000), 14)
    .option('--json', 'print all measurements as JSON')
    .addHelpText(
      'after',
      `
Start each release in its own checkout, on its own port and with rate limits that do not matter:
  PORT=3301 METRICS_PORT=9301 RATE_LIMIT_PER_SECOND=1000000 RATE_LIMIT_BURST=1000000 LOG_LEVEL=warn npm start
Exits 1 if an answer was wrong. No figure makes a run fail.`,
    )
    .action(compare),
);

async function compare({ json, before, after, ...options }: CompareOptions & Folders & { json?: true }): Promise<void> {
  const interrupted = new AbortController();
  process.once('SIGINT', () => {
    interrupted.abort(new Error('interrupted'));
    process.exitCode = CODE_OF_SIGINT;
  });
  const folders = { before, after };
  const result = await compareReleases(folders, options, interrupted.signal, (line) => console.error(`· ${line}`));
  console.log(json ? JSON.stringify({ conditions: conditions().slice(0, 1), ...result }) : reportOf(result));
  if (result.violations.length > 0) process.exitCode = 1;
}

function reportOf({ options, pairs, ratios, errors, violations }: Comparison): string {
  const cells = (which: keyof Folders) => {
    const of = (figure: (segment: Segment) => number) => median(pairs.map((pair) => figure(pair[which])));
    const figures = [({ p50Ms }: Segment) => p50Ms, ({ p95Ms }: Segment) => p95Ms].map((figure) => shownMs(of(figure)));
    return [which, of(({ perSecond }) => perSecond).toFixed(0), ...figures, of(cpuOfServers).toFixed(2)];
  };
  return [
    conditions()[0] ?? '',
    '',
    `Payments of one company, c=${options.concurrency}, medians of ${pairs.length} pairs of ${options.seconds} s`,
    '',
    textTable(['', 'per second', 'p50 ms', 'p95 ms', 'CPU ms per write'], [cells('before'), cells('after')]),
    '',
    textTable(
      ['after ÷ before', 'median of pairs', 'spread'],
      ratios.map(({ what, ...ratio }) => [
        what,
        ratio.median.toFixed(3),
        `${ratio.from.toFixed(2)} … ${ratio.to.toFixed(2)}`,
      ]),
    ),
    '',
    `Errors: ${Object.values(errors).every((of) => Object.keys(of).length === 0) ? 'none' : JSON.stringify(errors)}`,
    ...violations.map((violation) => `VIOLATED: ${violation}`),
  ].join('\n');
}
