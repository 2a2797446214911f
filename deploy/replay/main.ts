/** `npm run replay -- FILE --operation createPayment`: sends each row of a file as one write, however often it is run. */
import { Option } from 'commander';
import { type FileOptions, readRows } from '../../api/batches/rows/read-rows.ts';
import { countArgument, ttlArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { type DestinationOptions, findDestination } from '../cli/destination.ts';
import {
  type FileArguments,
  fileOptionsOf,
  operationOption,
  withDestinationOptions,
  withFileOptions,
} from '../cli/file-options.ts';
import { openPooledHttp } from '../cli/pooled-http.ts';
import { printed, printedJson, printedLine } from '../cli/printed.ts';
import { createProgress } from '../cli/progress.ts';
import { openSource, refuseSameFile, type Source } from '../cli/source.ts';
import { countRows, findFaults } from './file.ts';
import { replay } from './replay.ts';
import { EXIT, exitCodeOf, reportRows, reportText } from './report.ts';
import { openResults } from './results.ts';

type Options = DestinationOptions &
  FileArguments & {
    readonly concurrency: number;
    readonly giveUpAfter: number;
    readonly results?: string;
    readonly resume?: true;
    readonly dryRun?: true;
    readonly json?: true;
  };

const MAX_CONCURRENCY = 1_000;

const program = command(
  'replay',
  'Sends each row of a file as one write. Sending the same file again writes nothing twice.',
)
  .argument('<file>', 'JSON lines or CSV; - reads JSON lines from standard input')
  .addOption(operationOption())
  .option('--concurrency <n>', 'rows in flight at once', countArgument(MAX_CONCURRENCY), 32)
  .addOption(
    new Option('--give-up-after <time>', 'how long to retry a row: 90s, 30m, 12h')
      .argParser(ttlArgument)
      .default(300, '5m'),
  );
withFileOptions(program)
  .option('--results <file>', 'the file for the outcomes, by default <file>.results.jsonl')
  .option('--resume', 'skip rows that have a final outcome in the results file')
  .option('--dry-run', 'check each row without sending anything');
await run(
  withDestinationOptions(program)
    .option('--json', 'print the counts as JSON')
    .addHelpText(
      'after',
      '\nExits 1 unless every row has a final outcome, and 3 if nothing but approvals is missing. See docs/replaying.md.',
    )
    .action(replayFile),
);

async function replayFile(path: string, options: Options): Promise<void> {
  const source = await openSource(path);
  try {
    const file = fileOptionsOf(path, options);
    if (options.dryRun) await dryRun(source, file, options);
    else await sendAll(source, path, file, options);
  } finally {
    source.close();
  }
}

async function dryRun(source: Source, file: FileOptions, options: Options): Promise<void> {
  const about = { ...file, sha256: source.sha256 };
  const counts = await findFaults(readRows(source.read(), file), about, ({ line, detail }) =>
    console.error(printedLine(`line ${line}: ${detail}`)),
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
    console.log(options.json ? printedJson(report) : printed(reportText(tally, { total, resultsPath })));
    if (!unchanged) console.error('The file changed while it was being sent: the keys belong to its earlier content.');
    process.exitCode = unchanged ? exitCodeOf(tally) : EXIT.faulty;
  } finally {
    await http.close();
    results.close();
  }
}

/** Input from a pipe names its results file by content, so that the same input has the same results file. */
function defaultResults(path: string, sha256: string): string {
  return path === '-' ? `replay-${sha256.slice(0, 12)}.results.jsonl` : `${path}.results.jsonl`;
}
