/** `npm run benchmark:relay -- …`: measures whether events keep up with a storm of writes, and checks that none is lost. */

import { countArgument } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { textTable } from '../../cli/table.ts';
import { conditions } from '../benchmark/report.ts';
import { runStorm, type StormOptions, type StormResult } from './storm.ts';

/** What is promised: this long after a storm, no event is behind. For information: it makes no run fail. */
const TARGET_SECONDS = 60;
const CODE_OF_SIGINT = 130;

await run(
  command(
    'benchmark:relay',
    'Sends a storm of writes in three companies, one of them with a webhook, and measures how long events lag.',
  )
    .option('--seconds <s>', 'how long the storm lasts', countArgument(3_600), 60)
    .option('--concurrency <n>', 'how many clients, each waiting for its answer', countArgument(2_000), 32)
    .option('--drain-seconds <s>', 'how long to wait until no webhook call is pending', countArgument(3_600), 600)
    .option('--json', 'print all measurements as JSON')
    .addHelpText('after', '\nIt starts and stops its own servers. Exits 1 if an event was lost or is still pending.')
    .action(measure),
);

async function measure(options: StormOptions & { json?: true }): Promise<void> {
  const interrupted = new AbortController();
  const work = runStorm(options, interrupted.signal, (line) => console.error(`· ${line}`));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      console.error('· Stopping');
      interrupted.abort(new Error('interrupted'));
      void work.catch(() => undefined).finally(() => process.exit(CODE_OF_SIGINT));
    });
  }
  const result = await work;
  console.log(options.json ? JSON.stringify({ conditions: conditions(), ...result }) : reportOf(result));
  if (result.violations.length > 0) process.exitCode = 1;
}

function reportOf({ options, worstLag, ...result }: StormResult): string {
  const count = (value: number) => value.toLocaleString('en');
  return [
    ...conditions(),
    '',
    `${options.seconds} s, c=${options.concurrency}, three companies, one of them with a webhook`,
    '',
    textTable(
      ['', ''],
      [
        ['writes', `${count(result.writes)} (${count(Math.round(result.writes / result.seconds))}/s)`],
        ['webhook calls expected', count(result.owed)],
        ['webhook calls made', count(result.calls)],
        [
          'most events without a number',
          `${count(worstLag.notNumbered)}, the oldest ${worstLag.oldestSeconds.toFixed(1)} s old`,
        ],
        ['most webhook calls pending', count(worstLag.pending)],
        ['all numbered after', after(result.numberedAfter)],
        ['all delivered after', after(result.deliveredAfter)],
      ],
    ),
    '',
    `Errors: ${Object.keys(result.errors).length === 0 ? 'none' : JSON.stringify(result.errors)}`,
    ...result.violations.map((violation) => `VIOLATED: ${violation}`),
  ].join('\n');
}

function after(seconds: number | undefined): string {
  if (seconds === undefined) return 'not in time';
  const met = seconds <= TARGET_SECONDS ? 'met' : 'missed';
  return `${seconds.toFixed(1)} s (≤ ${TARGET_SECONDS} s: ${met})`;
}
