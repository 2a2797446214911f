/** `npm run benchmark -- …`: measures speed against bare Temporal and SQL alone, and checks the results for correctness. */
import { type Command, Option } from 'commander';
import { countArgument } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { createProgress } from '../../cli/progress.ts';
import type { Grouping } from './api-process.ts';
import { measureBeside } from './batch/beside.ts';
import { measureBatches } from './batch/measure.ts';
import { batchMarkdown, batchText, besideText } from './batch/text.ts';
import { measureGrowth, refuseImpossibleSize } from './growth/growth.ts';
import { growthMarkdown, growthText } from './growth/text.ts';
import { putBetweenMarkers } from './markers.ts';
import { MODES, type Mode } from './modes.ts';
import { measureOnOff, onOffText, SWITCHES, type Switch } from './on-off.ts';
import { conditions, reportOf, suiteMarkdown, suiteText } from './report.ts';
import { runBenchmark } from './run.ts';
import { openSession, type Session } from './session.ts';
import { baselinesAt, runSuite, SUITE_CONCURRENCY } from './suite.ts';

type Options = {
  mode: Mode | Switch | BatchMode | typeof GROWTH;
  concurrency: number;
  seconds: number;
  grouping: Grouping;
  rate?: number;
  repeat: number;
  baseline: boolean;
  all?: true;
  keys: number;
  rows: number;
  companies?: number;
  processes: number;
  markdown?: string;
  json?: true;
};

const MIN_PAIRS = 10;
/** Not a load mode, but a comparison of two databases under several loads. */
const GROWTH = 'growth';
const GROWTH_COMPANIES = 10_000;
/** Batches beside single payments. */
const BATCH_MODES = ['batch', 'batch-beside'] as const;
type BatchMode = (typeof BATCH_MODES)[number];
/** So many that a chunk of 500 rows, and the three chunks before it, pay different ones. */
const BATCH_INVOICES = 2_000;
const BATCH_ROWS = 20_000;
/** More invoices than payments in flight, so that their order does not repeat. */
const SPARE_INVOICES = 64;
/** The most payments that an open loop may have in flight. */
const OPEN_LOOP_IN_FLIGHT = 512;
const CODE_OF_SIGINT = 130;

await run(
  command('benchmark', 'Measures the write path on servers that it starts and stops itself.')
    .addOption(
      new Option(
        '--mode <mode>',
        'new: distinct payments; replay: repetitions; storm: one key at once; burst: distinct payments at once; instrumentation, encryption, sealing: the cost of metrics and logs, of encrypted payloads, or of the seal; growth: a full database against an almost empty one; batch: files of payments beside single ones and SQL; batch-beside: single payments without and during a batch',
      )
        .choices([...MODES, ...SWITCHES, GROWTH, ...BATCH_MODES])
        .default('new'),
    )
    .option(
      '--concurrency <n>',
      'how many clients, each waiting for its answer; for storm and burst, requests at once',
      countArgument(2_000),
      32,
    )
    .option('--seconds <s>', 'how long to measure, after a warm-up', countArgument(3_600), 10)
    .addOption(new Option('--grouping <on|off>', 'WRITE_GROUPING of the API').choices(['on', 'off']).default('on'))
    .option(
      '--rate <r>',
      'open loop with this many requests per second, independent of the answers (new, replay)',
      countArgument(20_000),
    )
    .option('--repeat <k>', 'how often to repeat; medians are shown', countArgument(25), 1)
    .option('--no-baseline', 'without comparing with bare Temporal and SQL alone')
    .option('--all', 'all cases of docs/performance.md, in short runs')
    .option('--keys <n>', 'growth: how many keys to fill the database with', countArgument(1_000_000_000), 10_000_000)
    .option('--rows <n>', 'batch, batch-beside: how many payments a file has', countArgument(1_000_000), BATCH_ROWS)
    .option(
      '--companies <n>',
      `how many companies pay, in turn (1); growth: in how many companies the keys are (${GROWTH_COMPANIES.toLocaleString('en')})`,
      countArgument(1_000_000),
    )
    .option('--processes <n>', 'how many API processes get the requests, in turn', countArgument(16), 1)
    .option('--markdown <file>', 'with --all, growth or batch: write the tables into this page, between its markers')
    .option('--json', 'print all measurements as JSON')
    .addHelpText(
      'after',
      '\nExits 1 if the database contradicts an answer, or scans a big table. No figure makes a run fail.',
    )
    .action(benchmark),
);

async function benchmark(options: Options, program: Command): Promise<void> {
  refuseConflictingOptions(options, (name) => program.getOptionValueSource(name) === 'cli');
  const interrupted = new AbortController();
  const work =
    options.mode === GROWTH
      ? compareSizes(options, interrupted.signal)
      : inSession(options, interrupted.signal, measureOf(options));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      log('Stopping');
      interrupted.abort(new Error('interrupted'));
      void work.catch(() => undefined).finally(() => process.exit(CODE_OF_SIGINT));
    });
  }
  await work;
}

function measureOf({ all, mode }: Options) {
  if (all) return measureAll;
  if (isOfBatches(mode)) return measureOfBatches;
  return isSwitch(mode) ? compareOnOff : measureOne;
}

/** Not a load mode, but a comparison of two processes under the same load. */
function isSwitch(mode: Options['mode']): mode is Switch {
  return (SWITCHES as readonly string[]).includes(mode);
}

function isOfBatches(mode: Options['mode']): mode is BatchMode {
  return (BATCH_MODES as readonly string[]).includes(mode);
}

function refuseConflictingOptions(options: Options, isGiven: (name: keyof Options) => boolean): void {
  const { mode, rate, all, markdown } = options;
  const refuse = (name: keyof Options) => {
    if (isGiven(name)) throw new Error(`--${name} cannot be combined with --mode ${mode}.`);
  };
  if (mode === GROWTH) {
    for (const name of ['all', 'rate', 'concurrency', 'grouping', 'processes'] as const) refuse(name);
    refuseImpossibleSize({ ...options, companies: options.companies ?? GROWTH_COMPANIES });
    return;
  }
  refuse('keys');
  if (isOfBatches(mode)) {
    for (const name of ['all', 'rate', 'concurrency', 'grouping', 'companies', 'processes'] as const) refuse(name);
    if (mode === 'batch' && !options.baseline) refuse('baseline');
  } else refuse('rows');
  if (isSwitch(mode)) refuse('processes');
  if (rate !== undefined && mode !== 'new' && mode !== 'replay') refuse('rate');
  if (markdown !== undefined && !all && mode !== 'batch')
    throw new Error('--markdown requires --all, --mode growth or --mode batch.');
}

async function inSession(
  options: Options,
  signal: AbortSignal,
  measure: (session: Session, options: Options) => Promise<boolean>,
): Promise<void> {
  const inFlight = options.all
    ? SUITE_CONCURRENCY
    : options.rate === undefined
      ? options.concurrency
      : OPEN_LOOP_IN_FLIGHT;
  const { companies = options.mode === 'batch-beside' ? 2 : 1, processes, mode } = options;
  const session = await openSession({
    companies,
    processes,
    invoices: isOfBatches(mode) ? BATCH_INVOICES : Math.ceil(inFlight / companies) + SPARE_INVOICES,
    withBaseline: options.baseline && (options.all === true || ['new', 'burst', 'batch'].includes(mode)),
    grouping: options.all ? 'on' : options.grouping,
    signal,
    log,
  });
  try {
    if (!(await measure(session, options))) process.exitCode = 1;
  } finally {
    await session.stop();
  }
}

/** False if something was violated. */
async function measureOne(session: Session, options: Options): Promise<boolean> {
  const { mode, concurrency, seconds, grouping, rate, repeat } = options;
  if (isSwitch(mode) || isOfBatches(mode) || mode === GROWTH)
    throw new Error(`Bug! The mode ${mode} has its own function`);
  const baselines = session.baseline === undefined ? [] : baselinesAt([concurrency, 1]);
  const result = await runBenchmark(session, { mode, concurrency, seconds, grouping, rate, repeat, baselines }, log);
  if (options.json) console.log(JSON.stringify({ conditions: conditions(), notes: session.servers.notes, ...result }));
  else console.log([...conditions(), ...session.servers.notes, reportOf(result)].join('\n'));
  return result.violations.length === 0;
}

/** At least ten pairs: fewer would not resolve so small a difference. */
async function compareOnOff(session: Session, options: Options): Promise<boolean> {
  const { mode, concurrency, seconds, grouping, repeat, json } = options;
  if (!isSwitch(mode)) throw new Error(`Bug! The mode ${mode} is no switch`);
  const pairs = Math.max(repeat, MIN_PAIRS);
  const result = await measureOnOff(session, { of: mode, concurrency, seconds, grouping, pairs }, log);
  if (json) console.log(JSON.stringify({ conditions: conditions(), notes: session.servers.notes, ...result }));
  else console.log([...conditions(), ...session.servers.notes, onOffText(result)].join('\n'));
  return result.violations.length === 0;
}

async function measureOfBatches(session: Session, options: Options): Promise<boolean> {
  const { mode, json } = options;
  const notes = [...conditions(), ...session.servers.notes];
  const told = (result: { readonly violations: readonly string[] }, text: string) => {
    if (json) console.log(JSON.stringify({ conditions: conditions(), notes: session.servers.notes, ...result }));
    else console.log([...notes, text].join('\n'));
    return result.violations.length === 0;
  };
  if (mode === 'batch') {
    const result = await measureBatches(session, options, { log, progress: createProgress() });
    if (options.markdown !== undefined && result.violations.length === 0)
      putBetweenMarkers(options.markdown, 'batches', batchMarkdown(result, notes));
    return told(result, batchText(result));
  }
  const result = await measureBeside(session, options, log);
  return told(result, besideText(result));
}

async function compareSizes(options: Options, signal: AbortSignal): Promise<void> {
  const { keys, companies = GROWTH_COMPANIES, seconds, repeat, json, markdown } = options;
  const result = await measureGrowth({ keys, companies, seconds, pairs: repeat }, signal, log);
  const { before, after, ...others } = result;
  const pairs = { before: Object.fromEntries(before), after: Object.fromEntries(after) };
  if (json) console.log(JSON.stringify({ conditions: conditions(), ...others, ...pairs }));
  else console.log(growthText(result));
  if (result.violations.length > 0) process.exitCode = 1;
  else if (markdown !== undefined) putBetweenMarkers(markdown, 'growth', growthMarkdown(result));
}

async function measureAll(session: Session, options: Options): Promise<boolean> {
  const { seconds, repeat, markdown } = options;
  const rows = await runSuite(session, { seconds, repeat }, log);
  if (options.json)
    console.log(JSON.stringify({ conditions: conditions(), notes: session.servers.notes, cases: rows }));
  else console.log([...conditions(), ...session.servers.notes, '', suiteText(rows)].join('\n'));
  const violations = rows.flatMap(({ result }) => result.violations);
  for (const violation of violations) console.error(`VIOLATED: ${violation}`);
  const again = `npm run benchmark -- --all --seconds ${seconds} --repeat ${repeat}`;
  if (markdown !== undefined && violations.length === 0)
    putBetweenMarkers(markdown, 'figures', suiteMarkdown(rows, again));
  return violations.length === 0;
}

function log(line: string): void {
  console.error(`· ${line}`);
}
