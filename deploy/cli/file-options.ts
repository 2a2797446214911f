import { extname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { ColumnAdvice } from '../../api/batches/rows/column-advice.ts';
import { IGNORED } from '../../api/batches/rows/columns.ts';
import type { FileOptions, Format } from '../../api/batches/rows/read-rows.ts';

/** How a file of writes is read, and to where its rows go: the same for `replay` and `batch`. */
export type FileArguments = {
  readonly operation?: string;
  readonly format?: Format;
  readonly delimiter: string;
  readonly map: ReadonlyMap<string, string>;
  readonly keyColumn?: string;
};

export function operationOption(): Option {
  return new Option('--operation <name>', 'the operation of each row that names none; CSV needs it').choices(
    OPERATIONS.map(({ name }) => name),
  );
}

export function withFileOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--format <format>', "the format, by default that of the file's extension").choices(['jsonl', 'csv']),
    )
    .option('--delimiter <character>', 'the delimiter of CSV cells', delimiterArgument, ',')
    .addOption(
      new Option(
        '--map <column=path>',
        'the member that a column sets, such as Betrag=amount or ID=params.invoiceId; note=- ignores it; repeatable',
      )
        .argParser(mapArgument)
        .default(new Map(), 'none'),
    )
    .option('--key-column <name>', 'the column or member with the key of each row, by default key or idempotencyKey');
}

export function withDestinationOptions(command: Command): Command {
  return command
    .option('--url <url>', 'the API, by default the local one')
    .option('--token-file <file>', 'a file with the token to use, which is read again when the token has ended')
    .option('--token <jwt>', 'the token to use; on the local system, by default that of the owner of Demo Ltd');
}

export function fileOptionsOf(path: string, options: FileArguments): FileOptions {
  const { delimiter, map, keyColumn } = options;
  const operation = OPERATIONS.find(({ name }) => name === options.operation);
  return {
    operations: OPERATIONS,
    operation,
    format: options.format ?? formatOf(path),
    delimiter,
    map,
    keyColumn,
    advice: ADVICE,
  };
}

const ADVICE: ColumnAdvice = {
  unknownColumn: (column) =>
    `Give --map "${column}=<path>", such as lines.0.description or params.invoiceId, or --map "${column}=${IGNORED}" to ` +
    'ignore it.',
  otherDelimiter: (delimiter) => `Give --delimiter "${delimiter === '\t' ? '\\t' : delimiter}".`,
};

/** By the file name's extension; standard input is read as JSON lines. */
function formatOf(path: string): Format {
  return extname(path).toLowerCase() === '.csv' ? 'csv' : 'jsonl';
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
