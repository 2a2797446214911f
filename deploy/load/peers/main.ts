/** `npm run benchmark:peers -- …`: measures what could be used instead of this system, and this system, side by side. */
import { choiceArgument, countArgument, listOption } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { putBetweenMarkers } from '../benchmark/markers.ts';
import { machine } from '../benchmark/report.ts';
import { CONTENDERS } from './contenders/list.ts';
import { ensurePackages } from './install.ts';
import { MODES, type Mode } from './measure/measure.ts';
import { asMarkdown, asText, figuresTable, isContradicted, outcomesTable, promisesTable, remarks } from './report.ts';
import { type RoundsResult, runRounds } from './rounds.ts';

type Options = {
  contenders: readonly string[];
  concurrency: readonly number[];
  mode: readonly Mode[];
  seconds: number;
  rounds: number;
  markdown?: string;
  json?: true;
};

const NAMES = CONTENDERS.map(({ name }) => name);
const MAX_CLIENTS = 1_000;
const CODE_OF_SIGINT = 130;
/** The markers in the Markdown page that enclose the tables. */
const MARKERS = 'peers';

await run(
  command(
    'benchmark:peers',
    'Sends the same payments to plain SQL, DBOS, Restate, bare Temporal and this system, one after another.',
  )
    .addOption(listOption('--contenders <list>', `which of ${NAMES.join(', ')}`, choiceArgument(NAMES), NAMES))
    .addOption(
      listOption(
        '--concurrency <list>',
        'how many clients, each waiting for its answer',
        countArgument(MAX_CLIENTS),
        [1, 32, 128],
      ),
    )
    .addOption(
      listOption(
        '--mode <list>',
        'new: distinct payments; replay: completed keys; storm: 500 identical requests at once; mismatch: the same key with another body; kills: kill -9 under load',
        choiceArgument(MODES),
        MODES,
      ),
    )
    .option('--seconds <s>', 'how long to measure each load, after a warm-up', countArgument(3_600), 10)
    .option('--rounds <k>', 'how often to repeat; medians are shown', countArgument(25), 1)
    .option('--markdown <file>', 'write the tables into this page, between its markers')
    .option('--json', 'print all measurements as JSON')
    .addHelpText(
      'after',
      '\nIt installs the other engines itself, once, and starts and stops its own servers. Exits 1 if a contender could not' +
        '\nbe measured, or if the database contradicts an answer of ours. No figure makes a run fail.',
    )
    .action(benchmark),
);

async function benchmark(options: Options): Promise<void> {
  const interrupted = new AbortController();
  const contenders = CONTENDERS.filter(({ name }) => options.contenders.includes(name));
  ensurePackages(contenders, log);
  const work = runRounds(contenders, {
    modes: options.mode,
    concurrencies: options.concurrency,
    seconds: options.seconds,
    rounds: options.rounds,
    signal: interrupted.signal,
    log,
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      log('Stopping');
      interrupted.abort(new Error('interrupted'));
      void work.catch(() => undefined).finally(() => process.exit(CODE_OF_SIGINT));
    });
  }
  report(await work, options);
}

function report(measured: RoundsResult, options: Options): void {
  const { results } = measured;
  const figures = figuresTable(results, options.concurrency);
  const outcomes = outcomesTable(results);
  const problems = results.flatMap(remarks);
  const facts = conditions(measured);
  if (options.json) console.log(JSON.stringify({ conditions: facts, ...measured }));
  else console.log([...facts, '', asText(figures), '', asText(outcomes), '', ...problems].join('\n'));
  const ours = results.find(({ name }) => name === 'ours');
  const failed = results.some(({ failure }) => failure !== undefined) || (ours !== undefined && isContradicted(ours));
  if (failed) process.exitCode = 1;
  if (options.markdown === undefined) return;
  if (failed) {
    log(`${options.markdown} stays as it is, since the run failed`);
    return;
  }
  const list = (lines: readonly string[]) => lines.map((line) => `- ${line}`);
  const lines = [
    `Measured with \`${commandOf(options)}\`: ${options.seconds} s per load${options.rounds > 1 ? `, medians of ${options.rounds} rounds` : ''}.`,
    ...[
      '',
      ...list(facts),
      '',
      asMarkdown(figures),
      '',
      asMarkdown(outcomes),
      '',
      asMarkdown(promisesTable(results)),
      '',
    ],
    ...(problems.length === 0 ? [] : [...list(problems), '']),
  ];
  putBetweenMarkers(options.markdown, MARKERS, lines.join('\n'));
}

/** The figures do not apply to another machine. */
function conditions({ postgresVersion, notes }: RoundsResult): string[] {
  // biome-ignore lint/plugin: the day of the report.
  const date = new Date().toISOString().slice(0, 10);
  return [`${date}, ${machine()}, PostgreSQL ${postgresVersion} (synchronous commit on)`, ...notes];
}

function commandOf({ contenders, concurrency, mode, seconds, rounds }: Options): string {
  const differing = [
    ...(contenders.length === NAMES.length ? [] : [`--contenders ${contenders.join(',')}`]),
    `--concurrency ${concurrency.join(',')}`,
    ...(mode.length === MODES.length ? [] : [`--mode ${mode.join(',')}`]),
  ];
  return `npm run benchmark:peers -- ${differing.join(' ')} --seconds ${seconds} --rounds ${rounds}`;
}

function log(line: string): void {
  console.error(`· ${line}`);
}
