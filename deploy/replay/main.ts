/** `npm run replay -- FILE --operation createPayment`: sends each row of a file as one write, however often it is run. */
import { InvalidArgumentError, Option } from 'commander';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { type FileOptions, type Format, readRows } from '../../api/batches/rows/read-rows.ts';
import { countArgument, ttlArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { openPooledHttp } from '../cli/pooled-http.ts';
import { createProgress } from '../cli/progress.ts';
import { type DestinationOptions, findDestination } from './destination.ts';
import { countRows, findFaults, formatOf } from './file.ts';
import { replay } from './replay.ts';
import { isComplete, reportRows, reportText } from './report.ts';
import { openResults, refuseSameFile } from './results.ts';
import { openSource, type Source } from './source.ts';

type Options = DestinationOptions & {
  readonly operation?: string;
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
  command('replay', 'Sends each row of a file as one write. Sending the same file again writes nothing twice.')
    .argument('<file>', 'JSON lines or CSV; - reads JSON lines from standard input')
    .addOption(
      new Option('--operation <name>', 'the operation of each row that names none; CSV needs it').choices(
        OPERATIONS.map(({ name }) => name),
      ),
    )
    .option('--concurrency <n>', 'rows in flight at once', countArgument(MAX_CONCURRENCY), 32)
    .addOption(
      new Option('--give-up-after <time>', 'how long to retry a row: 90s, 30m, 12h')
        .argParser(ttlArgument)
        .default(300, '5m'),
    )
    .addOption(
      new Option('--format <format>', "the format, by default that of the file's extension").choices(['jsonl', 'csv']),
    )
    .option('--delimiter <character>', 'the delimiter of CSV cells', delimiterArgument, ',')
    .option(
      '--map <column=path>',
      'the member that a column sets, such as Betrag=amount or ID=params.invoiceId; note=- ignores it; repeatable',
      mapArgument,
      new Map(),
    )
    .option('--key-column <name>', 'the column or member with the key of each row, by default key or idempotencyKey')
    .option('--results <file>', 'the file for the outcomes, by default <file>.results.jsonl')
    .option('--resume', 'skip rows that have a final outcome in the results file')
    .option('--dry-run', 'check each row without sending anything')
    .option('--url <url>', 'the API, by default the local one')
    .option('--token-file <file>', 'a file with the token to use, which is read again when the token has ended')
    .option('--token <jwt>', 'the token to use; on the local system, by default that of the owner of Demo Ltd')
    .option('--json', 'print the counts as JSON')
    .addHelpText('after', '\nExits 1 unless every row has a final outcome. See docs/replaying.md.')
    .action(replayFile),
);

async function replayFile(path: string, options: Options): Promise<void> {
  const operation = OPERATIONS.find(({ name }) => name === options.operation);
  const { delimiter, map, keyColumn } = options;
  const source = await openSource(path);
  try {
    const file = {
      operations: OPERATIONS,
      operation,
      format: options.format ?? formatOf(path),
      delimiter,
      map,
      keyColumn,
    };
    if (options.dryRun) await dryRun(source, file, options);
    else await sendAll(source, path, file, options);
  } finally {
    source.close();
  }
}

async function dryRun(source: Source, file: FileOptions, options: Options): Promise<void> {
  const about = { ...file, sha256: source.sha256 };
  const counts = await findFaults(readRows(source.read(), file), about, ({ line, detail }) =>
    console.error(`line ${line}: ${detail}`),
  );
  const text = `${counts.rows} rows, ${counts.faults} of them malformed; nothing was sent`;
  console.log(options.json ? JSON.stringify({ ...counts, sha256: source.sha256 }) : text);
  if (counts.faults > 0) process.exitCode = 1;
}

async function sendAll(source: Source, path: string, file: FileOptions, options: Options): Promise<void> {
  const { sha256 } = source;
  const { url, token, target } = await findDestination(options);
  const resultsPath = options.results ?? defaultResults(path, sha256);
  refuseSameFile(path, resultsPath);
  const total = await countRows(readRows(source.read(), file));
  const results = await openResults(resultsPath, { sha256, resume: options.resume === true });
  const http = openPooledHttp(url, { connections: options.concurrency });
  try {
    const tally = await replay(readRows(source.read(), file), {
      ...{ http, token, target, sha256, results },
      operations: file.operations,
      operation: file.operation,
      concurrency: options.concurrency,
      deadlineMs: options.giveUpAfter * 1_000,
      onRow: reportRows(createProgress(), total),
    });
    const unchanged = source.isUnchanged();
    const report = { total, ...tally, notSent: total - tally.rows, sha256, results: resultsPath };
    console.log(options.json ? JSON.stringify(report) : reportText(tally, { total, resultsPath }));
    if (!unchanged) console.error('The file changed while it was being sent: the keys belong to its earlier content.');
    if (!isComplete(tally) || !unchanged) process.exitCode = 1;
  } finally {
    await http.close();
    results.close();
  }
}

/** Input from a pipe names its results file by content, so that the same input has the same results file. */
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
