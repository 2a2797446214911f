/** `npm run write -- show|reopen|verify`: shows one write to an operator, reopens one that was lost, or opens a database that has lost writes. */
import { InvalidArgumentError } from 'commander';
import { readVerification } from '../../../worker/fence.ts';
import { stateAfterwards } from '../../../worker/verification/verify.ts';
import { keyArgument, nameArgument } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { askFor, confirm } from '../../cli/confirm.ts';
import { operatorName, recordCommand, recordLook, sqlOf } from '../../cli/operator-log.ts';
import { createProgress } from '../../cli/progress.ts';
import { adviseOn } from './advice.ts';
import { findCompany, withOperatorContext } from './context.ts';
import { readFacts } from './facts.ts';
import { reopen } from './reopen.ts';
import { factsText } from './text.ts';
import { continueIfNothingIsMissing, readStake, verify } from './verify.ts';
import { stakeJson, stakeText } from './verify-text.ts';

type Target = { company: string; key: string; json?: true };

const MAX_REASON = 500;
const READS = '\nUses MIGRATION_DATABASE_URL or DATABASE_URL, and TEMPORAL_ADDRESS, else the running local system.';

const program = command(
  'write',
  'Shows one write by its key, reopens one whose record is missing, and verifies a database that has lost writes.',
);
program
  .command('show')
  .description('show what became of a write, from its row, its runs and the audit log, and what to do next')
  .requiredOption('--company <id or name>', 'the company of the write')
  .requiredOption('--key <key>', "the client's Idempotency-Key, unquoted", keyArgument)
  .option('--json', 'print everything as JSON')
  .addHelpText('after', READS)
  .action(show);
program
  .command('reopen')
  .description('allow a key to be sent again whose run is completed in Temporal but whose row was lost in a restore')
  .requiredOption('--company <id or name>', 'the company of the write')
  .requiredOption('--key <key>', "the client's Idempotency-Key, unquoted", keyArgument)
  .requiredOption('--reason <text>', 'why; recorded in the audit log', reasonArgument)
  .option('--yes', 'do not ask for confirmation')
  .option('--json', 'print the result as JSON')
  .addHelpText('after', `${READS}\nRefuses, with exit code 1, if there is a row, an open transaction or an open run.`)
  .action(reopenKey);
program
  .command('verify')
  .description(
    'open a database that a restore or a failover has replaced: mark what is lost, so that it is never made twice',
  )
  .option('--reason <text>', 'why it was replaced; stays with the seal, so without names of customers', reasonArgument)
  .option(
    '--operator <name>',
    'who you are, where the user of this machine does not say so, as in a container',
    nameArgument,
    operatorName(),
  )
  .option('--dry-run', 'only list what is lost, by company, with amounts and numbers; change nothing')
  .option('--yes', 'do not ask for confirmation')
  .option('--json', 'print what is lost as JSON')
  .addHelpText(
    'after',
    `${READS}\nIf nothing is missing, the database opens without a question. Otherwise operator and reason are recorded: the seal's next\nepoch has them, and they explain to auditors which heads name rows that are gone. Running it again does no harm. Exit code 1: nothing was opened.`,
  )
  .action(verifyDatabase);
await run(program);
// A pending connection attempt would keep the process alive for most of a minute.
process.exit();

async function show({ company, key, json }: Target): Promise<void> {
  const facts = await withOperatorContext(async (context) => {
    const owner = await findCompany(context, company);
    await recordLook(sqlOf(context.database.reads), { name: 'write show', company: owner.id, details: { key } });
    return readFacts(context, owner, key);
  });
  // biome-ignore lint/plugin: it is compared with points in time of the record.
  const advice = adviseOn(facts, Date.now());
  console.log(json ? JSON.stringify({ ...facts, advice }) : factsText(facts, advice));
}

async function reopenKey({ company, key, json, reason, yes }: Target & { reason: string; yes?: true }): Promise<void> {
  const result = await withOperatorContext(async (context) => {
    const owner = await findCompany(context, company);
    if (!yes) {
      await confirm(
        `The next request with the key ${key} of ${owner.name} will execute. Have you checked that the books do not contain this write?`,
        key,
        '--yes',
      );
    }
    await recordCommand(sqlOf(context.database.reads), { name: 'write reopen', company: owner.id, details: { key } });
    return reopen(context, owner, key, reason);
  });
  const text = result.reopened ? 'Reopened. Let the client send the same request with the same key.' : result.because;
  console.log(json ? JSON.stringify(result) : text);
}

type Verifying = { reason?: string; operator: string; dryRun?: true; yes?: true; json?: true };

async function verifyDatabase(options: Verifying): Promise<void> {
  const progress = createProgress();
  const onProgress = ({ groups, keyRuns }: { groups: number; keyRuns: number }) =>
    progress.update(`${groups} groups and ${keyRuns} runs of keys are read`);
  await withOperatorContext(async (context) => {
    const isDryRun = options.dryRun === true;
    await (isDryRun ? recordLook : recordCommand)(sqlOf(context.database.reads), { name: 'write verify' });
    const { incarnation, live, replaced } = isDryRun
      ? await readVerification(context.database.reads)
      : await continueIfNothingIsMissing(context);
    if (incarnation === live && replaced === null) {
      const { operator, reason } = options;
      const isStated =
        reason !== undefined && !isDryRun && (await stateAfterwards(context.database.reads, { operator, reason }));
      const text = `The database is verified: nothing is missing.${isStated ? ' Operator and reason are recorded.' : ''}`;
      console.log(options.json ? JSON.stringify({ verified: true, lost: 0 }) : text);
      return;
    }
    // Before anything is closed.
    if (!isDryRun && options.yes && options.reason === undefined) {
      throw new Error(
        'The database is replaced: give a --reason with --yes. It is recorded, and explains what is gone.',
      );
    }
    const stake = await readStake(context, { close: !isDryRun, onProgress });
    if (!options.json) console.log(stakeText(stake));
    if (isDryRun) {
      if (options.json) console.log(JSON.stringify(stakeJson(stake)));
      return;
    }
    const reason = options.reason ?? reasonArgument(await askFor('Why was it replaced?', '--reason'));
    if (!options.yes) {
      const { lost } = stake.losses;
      await confirm(
        `${lost.length} writes will be marked as lost, and the database opens for all writes.`,
        'verify',
        '--yes',
      );
    }
    const marked = await verify(context, stake, { operator: options.operator, reason });
    if (options.json) console.log(JSON.stringify({ ...stakeJson(stake), verified: true, marked: marked.length }));
    else
      console.log(`The database is verified. Marked as lost: ${marked.length}. Groups are started again in a minute.`);
  });
}

function reasonArgument(text: string): string {
  if (text.trim() !== '' && text.length <= MAX_REASON) return text.trim();
  throw new InvalidArgumentError(`It must have 1 to ${MAX_REASON} characters.`);
}
