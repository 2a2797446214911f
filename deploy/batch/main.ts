/** `npm run batch -- submit FILE --operation createPayment`: sends a file of writes as one batch, and looks after batches. */
import { type Command, CommanderError, Option } from 'commander';
import { BATCH_STATES } from '../../activities/batches/batch-row.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { countArgument, keyArgument, ttlArgument } from '../cli/arguments.ts';
import { command } from '../cli/command.ts';
import { operationOption, withDestinationOptions, withFileOptions } from '../cli/file-options.ts';
import { EXIT } from './ends.ts';
import { finish } from './finish.ts';
import { controlBatch, listBatches, showBatch, showResults } from './look-after.ts';
import { submitFile } from './submit-file.ts';

const EXIT_CODES = `
Exit codes of submit and status; the other commands end with 0 once they are done, however the rows stand:
  0  each row is written, by this batch or before it (with --no-wait: the batch is accepted)
  1  the batch is over, and some row was rejected, mismatched, refused, failed or cancelled
  2  wrong usage, or refused as a whole, also because the file changed
  3  not over, or no usable answer: run the same command again with the same file, it goes on`;

const program = command(
  'batch',
  'Sends a file of writes as one batch, each row exactly once however often it is sent, and looks after batches.',
)
  .exitOverride()
  .helpCommand(false)
  .addHelpText('after', `${EXIT_CODES}\n\nEach command has its own --help. See docs/batches.md.`);

const sending = withFileOptions(
  program
    .command('submit')
    .description('send a file and follow it to its end; a file that was sent before is found, not sent again')
    .argument('<file>', 'JSON lines or CSV; - reads JSON lines from standard input')
    .addOption(operationOption())
    .option('--batch-key <key>', "the key of the batch, by default the SHA-256 of the file's bytes", keyArgument),
)
  .option('--validate-only', 'have each row checked, print the bad ones with line and pointer, and write nothing')
  .option('--no-wait', 'return as soon as the batch is accepted')
  .option('--results <file>', 'write what became of each row to this file, as NDJSON, or as CSV if it ends in .csv');
withCommonOptions(sending)
  .addHelpText(
    'after',
    `
Examples:
  npm run --silent batch -- submit payments.jsonl --operation createPayment
  npm run --silent batch -- submit zahlungen.csv --operation createPayment --delimiter ";" --map Betrag=amount
  zcat rows.jsonl.gz | npm run --silent batch -- submit - --json`,
  )
  .action((file, options) => finish(options, () => submitFile(file, options)));

const status = keyed('status', 'show how a batch stands').option(
  '--follow',
  'wait until it is over or paused, and show its progress',
);
withCommonOptions(status).action((key, options) => finish(options, () => showBatch(key, options)));

const results = keyed('results', 'print what became of each row, in the order of the file')
  .option('--out <file>', 'write it to this file instead, page by page; it is there once it is whole')
  .addOption(new Option('--format <format>', "by default that of the file's extension").choices(['ndjson', 'csv']));
withCommonOptions(results).action((key, options) => finish(options, () => showResults(key, options)));

for (const [name, action, what] of [
  ['pause', 'pause', 'let a batch rest; the chunks that are begun are ended'],
  ['resume', 'resume', 'let a paused batch go on'],
  ['retry-failed', 'retryFailed', 'try the failed and refused rows of a completed batch again'],
  ['cancel', 'cancel', 'write no further row of a batch; what is written stays, and the other rows have used no key'],
] as const) {
  withCommonOptions(keyed(name, what)).action((key, options) =>
    finish(options, () => controlBatch(key, action, options)),
  );
}

const list = program
  .command('list')
  .description('list batches, newest first')
  .addOption(new Option('--state <state>', 'only those in this state').choices([...BATCH_STATES]))
  .addOption(
    new Option('--operation <name>', 'only those of this operation').choices(OPERATIONS.map(({ name }) => name)),
  )
  .option('--limit <n>', 'how many', countArgument(200), 20);
withCommonOptions(list).action((options) => finish(options, () => listBatches(options)));

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // Commander has said what is wrong.
  process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.refused;
}

function keyed(name: string, description: string): Command {
  return program.command(name).description(description).argument('<batch key>', 'the key of the batch', keyArgument);
}

function withCommonOptions(one: Command): Command {
  return withDestinationOptions(one)
    .addOption(
      new Option('--give-up-after <time>', 'how long to try again after a failure: 90s, 30m, 12h')
        .argParser(ttlArgument)
        .default(300, '5m'),
    )
    .option('--json', 'print one JSON object at the end, and nothing else on standard output')
    .helpOption('--help', 'show this help')
    .addHelpText('after', EXIT_CODES);
}
