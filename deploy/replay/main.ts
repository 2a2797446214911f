/** `npm run replay -- FILE --operation createPayment`: each row of a file as one write, however often it is sent. */
import { InvalidArgumentError, Option } from 'commander';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { countArgument, ttlArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { createProgress } from '../cli/progress.ts';
import { openHttp } from '../client/http.ts';
import { type DestinationOptions, findDestination } from './destination.ts';
import { countRows, type FileOptions, type Format, findFaults, formatOf, readRows } from './file.ts';
import { replay } from './replay.ts';
import { isComplete, reportRows, reportText } from './report.ts';
import { openResults, refuseSameFile } from './results.ts';
import { openSource, type Source } from './source.ts';

type Options = DestinationOptions & {
  readonly operation: string;
  readonly concurrency: number;
  readonly giveUpAfter: number;
  readonly format?: Format;
  readonly delimiter: string;
  readonly map: ReadonlyMap<string, string>;
  readonly keyColumn?: string;
  readonly results?: string;
  readonly resume?: true;
  readonly dryRun?: true;
  readonly json?: true;
};

const MAX_CONCURRENCY = 1_000;

await run(
  command('replay', 'Sends each row of a file as one write. The same file, sent again, writes nothing twice.')
    .argument('<file>', 'JSON lines or CSV; - reads JSON lines from standard input')
    .addOption(
      new Option('--operation <name>', 'what each row is')
        .choices(OPERATIONS.map(({ name }) => name))
        .makeOptionMandatory(),
    )
    .option('--concurrency <n>', 'rows in flight at once', countArgument(MAX_CONCURRENCY), 32)
    .addOption(
      new Option('--give-up-after <time>', 'how long a row is tried: 90s, 30m, 12h')
        .argParser(ttlArgument)
        .default(300, '5m'),
    )
    .addOption(new Option('--format <format>', "instead of the one by the file's name").choices(['jsonl', 'csv']))
    .option('--delimiter <character>', 'between the cells of CSV', delimiterArgument, ',')
    .option(
      '--map <column=path>',
      'where a column goes, such as Betrag=amount, ID=params.invoiceId; note=- leaves it out; repeatable',
      mapArgument,
      new Map(),
    )
    .option('--key-column <name>', 'the column or member with the key of each row (key or idempotencyKey)')
    .option('--results <file>', 'where the outcomes go (the file with .results.jsonl behind it)')
    .option('--resume', 'skips rows that are final in the results file')
    .option('--dry-run', 'checks each row and sends nothing')
    .option('--url <url>', 'another API than the local one')
    .option('--token-file <file>', 'as whom: a file with the token')
    .option('--token <jwt>', "the token itself; on the local system the owner's of Demo Ltd by default")
    .option('--json', 'prints the counts as JSON on stdout')
    .addHelpText('after', '\nExits 1 unless each row has its final outcome. See docs/replaying.md.')
    .action(replayFile),
);

async function replayFile(path: string, options: Options): Promise<void> {
  const operation = OPERATIONS.find(({ name }) => name === options.operation);
  if (operation === undefined) throw new Error(`Bug! No operation ${options.operation}`);
  const { delimiter, map, keyColumn } = options;
  const source = await openSource(path);
  try {
    const file = { operation, format: options.format ?? formatOf(path), delimiter, map, keyColumn };
    if (options.dryRun) await dryRun(source, file, options);
    else await sendAll(source, path, file, options);
  } finally {
    source.close();
  }
}

async function dryRun(source: Source, file: FileOptions, options: Options): Promise<void> {
  const about = { operation: file.operation, sha256: source.sha256 };
  const counts = await findFaults(readRows(source, file), about, ({ line, detail }) =>
    console.error(`line ${line}: ${detail}`),
  );
  const text = `${counts.rows} rows, ${counts.faults} of them malformed; nothing was sent`;
  console.log(options.json ? JSON.stringify({ ...counts, sha256: source.sha256 }) : text);
  if (counts.faults > 0) process.exitCode = 1;
}

async function sendAll(source: Source, path: string, file: FileOptions, options: Options): Promise<void> {
  const { sha256 } = source;
  const { url, token, target } = findDestination(options);
  const resultsPath = options.results ?? defaultResults(path, sha256);
  refuseSameFile(path, resultsPath);
  const total = await countRows(readRows(source, file));
  const results = await openResults(resultsPath, { sha256, resume: options.resume === true });
  const http = openHttp(url, { connections: options.concurrency });
  try {
    const tally = await replay(readRows(source, file), {
      ...{ http, token, target, sha256, results },
      operation: file.operation,
      concurrency: options.concurrency,
      giveUpAfterMs: options.giveUpAfter * 1_000,
      onRow: reportRows(createProgress(), total),
    });
    const unchanged = source.isUnchanged();
    const report = { total, ...tally, notSent: total - tally.rows, sha256, results: resultsPath };
    console.log(options.json ? JSON.stringify(report) : reportText(tally, { total, resultsPath }));
    if (!unchanged) console.error('The file was changed while it was sent: its keys are those of the content before.');
    if (!isComplete(tally) || !unchanged) process.exitCode = 1;
  } finally {
    await http.close();
    results.close();
  }
}

/** Of what is read from a pipe, named by its content: the same again has the same results file. */
function defaultResults(path: string, sha256: string): string {
  return path === '-' ? `replay-${sha256.slice(0, 12)}.results.jsonl` : `${path}.results.jsonl`;
}

function mapArgument(text: string, map: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const at = text.lastIndexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('It must be <column>=<path>.');
  return new Map([...map, [text.slice(0, at), text.slice(at + 1)]]);
}

function delimiterArgument(text: string): string {
  if (text === '\\t') return '\t';
  if (text.length === 1 && !/["\r\n]/.test(text)) return text;
  throw new InvalidArgumentError('It must be one character, such as ";"; \\t is a tab.');
}
