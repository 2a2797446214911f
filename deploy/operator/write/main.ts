/** `npm run write -- show|reopen --company C --key K`: one write as an operator sees it, and the way back for a lost one. */
import { InvalidArgumentError } from 'commander';
import { keyArgument } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { confirm } from '../../cli/confirm.ts';
import { adviseOn } from './advice.ts';
import { findCompany, withPlace } from './context.ts';
import { readFacts } from './facts.ts';
import { reopen } from './reopen.ts';
import { factsText } from './text.ts';

type Which = { company: string; key: string; json?: true };

const MAX_REASON = 500;
const READS = '\nReads MIGRATION_DATABASE_URL or DATABASE_URL, and TEMPORAL_ADDRESS, else the running local system.';

const program = command('write', 'Looks at one write by its key, and reopens one whose record is missing.');
program
  .command('show')
  .description('tells what became of a write, from its row, its runs and the audit log, and what to do next')
  .requiredOption('--company <id or name>', 'whose write it is')
  .requiredOption('--key <key>', "the client's Idempotency-Key, unquoted", keyArgument)
  .option('--json', 'prints everything as JSON')
  .addHelpText('after', READS)
  .action(show);
program
  .command('reopen')
  .description('lets a key be sent again whose run is done in Temporal and whose row is gone after a restore')
  .requiredOption('--company <id or name>', 'whose write it is')
  .requiredOption('--key <key>', "the client's Idempotency-Key, unquoted", keyArgument)
  .requiredOption('--reason <text>', 'why; it is written into the audit log', reasonArgument)
  .option('--yes', 'does not ask')
  .option('--json', 'prints the result as JSON')
  .addHelpText(
    'after',
    `${READS}\nRefuses, with exit code 1, where there is a row, a transaction on its way or an open run.`,
  )
  .action(reopenKey);
await run(program);
// A connection that is still being tried would keep the process for most of a minute.
process.exit();

async function show({ company, key, json }: Which): Promise<void> {
  const facts = await withPlace(async (place) => readFacts(place, await findCompany(place, company), key));
  const advice = adviseOn(facts, Date.now());
  console.log(json ? JSON.stringify({ ...facts, advice }) : factsText(facts, advice));
}

async function reopenKey({ company, key, json, reason, yes }: Which & { reason: string; yes?: true }): Promise<void> {
  const result = await withPlace(async (place) => {
    const owner = await findCompany(place, company);
    if (!yes) {
      await confirm(
        `The next request with the key ${key} of ${owner.name} will execute. Is its effect in the books of no other write?`,
        key,
        '--yes',
      );
    }
    return reopen(place, owner, key, reason);
  });
  const text = result.reopened ? 'Reopened. Let the client send the same request with the same key.' : result.because;
  console.log(json ? JSON.stringify(result) : text);
}

function reasonArgument(text: string): string {
  if (text.trim() !== '' && text.length <= MAX_REASON) return text.trim();
  throw new InvalidArgumentError(`It must have 1 to ${MAX_REASON} characters.`);
}
