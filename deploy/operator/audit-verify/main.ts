/** `npm run audit:verify`: compares all records of the writes with each other, and names what does not agree. */
import { once } from 'node:events';
import { InvalidArgumentError } from 'commander';
import { askAsAuditor, openAuditorPool } from '../../../activities/auditor/auditor-pool.ts';
import type { Explained, NotAsked, Range } from '../../../activities/auditor/check.ts';
import { checksOf, databaseChecks } from '../../../activities/auditor/checks.ts';
import type { Finding } from '../../../activities/auditor/finding.ts';
import { companiesOf, runAudit } from '../../../activities/auditor/run-audit.ts';
import { sampleWrites } from '../../../activities/auditor/sample.ts';
import { StorageError } from '../../../activities/database.ts';
import { countArgument } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { auditorDatabaseUrl } from '../../cli/config.ts';
import { printed } from '../../cli/printed.ts';
import { createProgress, shown } from '../../cli/progress.ts';
import { exportBooks } from '../audit-export/export-books.ts';
import { type FileJournal, openFileJournal } from './file-journal.ts';
import { type HeadFile, type KeptKeys, keptHeadsCheck, keptKeys, lookAtHeads } from './kept-heads.ts';
import { lastAudit } from './last.ts';
import { openTemporal } from './temporal.ts';
import { confidenceText, endText, explainedText, filesText, findingText, headText } from './text.ts';

type Options = {
  company?: string;
  from?: string;
  to?: string;
  json?: true;
  sample?: number;
  runs: boolean;
  resume?: true;
  last?: true;
  export?: string;
  heads: readonly string[];
  keys?: string;
  parallel: number;
  databaseUrl?: string;
};

const COULD_NOT_ASK = 2;
const MAX_SAMPLE = 100_000;
const DEFAULT_PARALLEL = 2;
const MAX_PARALLEL = 16;

const collect = (path: string, before: readonly string[]) => [...before, path];

const program = command(
  'audit:verify',
  'Compares all records of the writes with each other, and names what is missing, doubled or altered, with the row.',
)
  .option('--company <id or name>', 'only this company')
  .option('--from <day>', 'only writes that were completed on or after this day (UTC)', dayArgument)
  .option('--to <day>', 'only writes that were completed on or before this day (UTC)', dayArgument)
  .option('--sample <n>', 'only so many writes, drawn at random', countArgument(MAX_SAMPLE))
  .option(
    '--heads <file>',
    'compare heads that were collected outside, one JSON object a line; repeatable',
    collect,
    [],
  )
  .option('--keys <file>', 'the public keys as they were kept (a JWK set), in the place of those of the database')
  .option('--no-runs', 'do not compare with the runs in Temporal, nor with the heads in their memos')
  .option('--resume', 'go on where an interrupted run with the same options has ended')
  .option('--parallel <n>', 'statements side by side', countArgument(MAX_PARALLEL), DEFAULT_PARALLEL)
  .option(
    '--export <folder>',
    'write the sealed books into a new folder instead, with a verifier that runs on Node alone',
  )
  .option('--last', 'print what the last scheduled audit has found')
  .option('--json', 'print JSON')
  .option('--database-url <url>', 'a login that is a member of accubooks_auditor')
  .addHelpText(
    'after',
    '\nReads only. Uses AUDITOR_DATABASE_URL, MIGRATION_DATABASE_URL or DATABASE_URL, and TEMPORAL_ADDRESS, else the running local' +
      '\nsystem.' +
      '\n--from and --to choose the writes that are compared one by one; the controls of the books and the search for rows without a' +
      '\nwrite are about whole books, and are asked of all days.' +
      '\nExit code 0: nothing was found. 1: something was found. 2: nothing was found, and not all could be asked,\nor the command could not do it at all, as with a company or a file that is not there.',
  )
  .action(verify);
// 1 would say that something was found.
await run(program, { failed: COULD_NOT_ASK });

async function verify(options: Options): Promise<void> {
  await verifyWith(options, await keptOf(options));
}

/** What somebody has kept outside the database. */
type Kept = { readonly files: readonly HeadFile[]; readonly keys: KeptKeys | undefined };

async function keptOf({ heads, keys, sample, ...other }: Options): Promise<Kept> {
  if ((heads.length > 0 || keys !== undefined) && (sample !== undefined || other.last || other.export !== undefined)) {
    throw new Error(
      'Leave --heads and --keys out: they are compared with the seal, by a run without --sample, --last, --export.',
    );
  }
  return { files: await lookAtHeads(heads), keys: keys === undefined ? undefined : keptKeys(keys) };
}

async function verifyWith(options: Options, kept: Kept): Promise<void> {
  const { from = null, to = null, sample, company } = options;
  if (from !== null && to !== null && from > to) throw new Error('--from is after --to.');
  if (sample !== undefined && options.resume) throw new Error('A sample is drawn anew each time: leave --resume out.');
  const url = options.databaseUrl ?? auditorDatabaseUrl();
  if (options.last) return printLast(url, options);
  if (options.export !== undefined) return exportBooks(url, { dir: options.export, company, from, to });
  const { host, pathname } = new URL(url);
  const resume = options.resume ?? false;
  const digests = { heads: kept.files.map(({ sha256 }) => sha256), keys: kept.keys?.sha256 };
  const journal = await openFileJournal({ host, pathname, from, to, company, sample, ...digests }, { resume });
  if (journal.resumed) console.error(`Going on after ${shown(journal.tally.checked.writes)} writes.`);
  const spotCheck = await ask({ url, journal, options, kept, range: { from, to } });
  await print(journal, { ...options, files: kept.files }, { from, to });
  if (spotCheck !== undefined) {
    const text = confidenceText({ ...spotCheck, found: await writesWithFindings(journal) });
    if (options.json) console.error(text);
    else console.log(`\n${text}`);
  }
  const { findings, couldNotAsk } = journal.tally;
  // What could not be asked is asked by --resume.
  if (couldNotAsk.length === 0) journal.remove();
  setExitCode(findings, couldNotAsk);
}

type Asked = {
  readonly url: string;
  readonly journal: FileJournal;
  readonly options: Options;
  readonly kept: Kept;
  readonly range: Range;
};

async function printLast(url: string, { json }: Options): Promise<void> {
  const last = await lastAudit(url);
  if (last === undefined) throw new Error('No scheduled audit has ended: does a worker have AUDITOR_DATABASE_URL?');
  const { scope, endedAt, from, to, checked, findings, explained, couldNotAsk, count } = last;
  console.error(`The scheduled audit of ${scope === 'all' ? 'all' : 'the recent'} writes that ended at ${endedAt}.`);
  if (json) console.log(JSON.stringify({ from, to, checked, findings, explained, couldNotAsk }));
  else {
    console.log(headText({ from, to }, checked));
    for (const finding of findings) console.log(printed(findingText(finding)));
    if (explained.length > 0) console.log(printed(`\n${explainedText(explained)}`));
    console.log(endText(count, couldNotAsk));
  }
  setExitCode(count, couldNotAsk);
}

function setExitCode(findings: number, couldNotAsk: readonly NotAsked[]): void {
  if (findings > 0) process.exitCode = 1;
  else if (couldNotAsk.length > 0) process.exitCode = COULD_NOT_ASK;
}

/** Asks all there is to ask. Returns, of a spot check, how many writes were drawn from how many. */
async function ask({
  url,
  journal,
  options,
  kept,
  range,
}: Asked): Promise<{ sampled: number; of: number } | undefined> {
  const pool = openAuditorPool(url, options.parallel);
  const progress = createProgress();
  const startedAt = performance.now();
  let close: (() => Promise<void>) | undefined;
  try {
    const asAuditor = askAsAuditor(pool);
    const companies = await companiesOf(asAuditor, options.company);
    const ids = companies.map(({ id }) => id);
    const drawn = options.sample === undefined ? undefined : await sampleWrites(asAuditor, ids, range, options.sample);
    const keys = kept.keys?.keys;
    const outside = { keys, ofOneCompany: options.company !== undefined };
    const temporal = options.runs && drawn === undefined ? await openTemporal(outside) : undefined;
    const ofFiles = kept.files.length === 0 ? [] : [keptHeadsCheck(kept.files, outside)];
    const checks =
      drawn === undefined ? [...databaseChecks(keys), ...ofFiles, ...(temporal?.checks ?? [])] : checksOf(drawn.sample);
    if (!journal.stateOf('companies').done) {
      journal.note({ task: 'companies', step: { checked: { companies: companies.length } } });
      journal.note({ task: 'companies', done: true });
    }
    close = temporal?.close;
    await runAudit({
      ...{ ask: asAuditor, checks, companies, range, journal, parallel: options.parallel, signal: interrupted() },
      onProgress({ writes }, left) {
        const perSecond = writes / ((performance.now() - startedAt) / 1_000);
        progress.update(`${shown(writes)} writes compared, ${shown(perSecond)}/s; ${left} parts left`);
      },
    });
    return drawn === undefined ? undefined : { sampled: drawn.sample.length, of: drawn.of };
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    journal.note({ task: 'database', notAsked: { what: 'the database', why: error.message } });
    return undefined;
  } finally {
    progress.clear();
    await close?.();
    await pool.close();
  }
}

function interrupted(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort(new Error('Interrupted. Run it again with --resume to go on.')));
  return controller.signal;
}

async function print(
  journal: FileJournal,
  { json, files }: Pick<Options, 'json'> & Pick<Kept, 'files'>,
  range: Range,
): Promise<void> {
  const { checked, couldNotAsk } = journal.tally;
  const explained: Explained[] = [];
  const isNewHead = firstOnly<Explained>(
    ({ companyId, log, position, number, publishedAt }) => `${companyId} ${log} ${position} ${number} ${publishedAt}`,
  );
  for await (const one of journal.explained()) if (isNewHead(one)) explained.push(one);
  // Each check tells of a head, so that none is lost where another is interrupted.
  const isNew = firstOnly<Finding>(({ kind, head }) => head && `${kind} ${head}`);
  let printedFindings = 0;
  if (!json) {
    console.log(headText(range, checked));
    if (files.length > 0) console.log(printed(filesText(files)));
    for await (const finding of journal.findings()) {
      if (!isNew(finding)) continue;
      printedFindings += 1;
      await write(`${printed(findingText(finding))}\n`);
    }
    if (explained.length > 0) console.log(printed(`\n${explainedText(explained)}`));
    console.log(endText(printedFindings, couldNotAsk));
    return;
  }
  await write(`{${membersOf({ ...range, checked })},"findings":[`);
  let separator = '';
  for await (const finding of journal.findings()) {
    if (!isNew(finding)) continue;
    await write(`${separator}${JSON.stringify(finding)}`);
    separator = ',';
  }
  const ofFiles = files.length === 0 ? {} : { files: files.map(({ path, lines, heads }) => ({ path, lines, heads })) };
  await write(`],${membersOf({ explained, couldNotAsk, ...ofFiles })}}\n`);
}

/** Whether it is the first with its name; what has none always is. */
function firstOnly<T>(nameOf: (one: T) => string | undefined): (one: T) => boolean {
  const names = new Set<string>();
  return (one) => {
    const name = nameOf(one);
    if (name === undefined) return true;
    const isNew = !names.has(name);
    names.add(name);
    return isNew;
  };
}

function membersOf(object: object): string {
  return JSON.stringify(object).slice(1, -1);
}

/** Waits for a reader that is slower: what it has not read yet would be in memory. */
async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

async function writesWithFindings(journal: FileJournal): Promise<number> {
  const writes = new Set<string>();
  for await (const { companyId, key, writeId } of journal.findings()) writes.add(`${companyId}/${key ?? writeId}`);
  return writes.size;
}

function dayArgument(text: string): string {
  const day = new Date(`${text}T00:00:00Z`);
  if (/^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text))
    return text;
  throw new InvalidArgumentError('It must be a day such as 2026-08-31.');
}
