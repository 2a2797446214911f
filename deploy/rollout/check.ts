/** `npm run rollout:check`: decides whether a version may get more of the traffic, between two steps of a roll-out. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { InvalidArgumentError } from 'commander';
import { countArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { textTable } from '../cli/table.ts';
import { readCriteria } from './criteria.ts';
import { type Decision, decide, judge, type Verdict } from './judge.ts';

const RULES = fileURLToPath(new URL('../prometheus/rules.yml', import.meta.url));
const EXIT_CODES: Readonly<Record<Decision, number>> = { 'go on': 0, 'go back': 1, wait: 2 };

type Options = { prometheus: string; version: string; window: string; minWrites: number; rules: string; json?: true };

await run(
  command('rollout:check', 'Asks Prometheus whether the alerts that judge a version fire for that version only.')
    .requiredOption('--prometheus <url>', 'the URL of Prometheus', urlArgument)
    .requiredOption('--version <name>', 'the value of the label `version` on its series, such as green')
    .option('--window <range>', 'the range of all rates, instead of those in the rules', windowArgument, '2m')
    .option('--min-writes <count>', 'how many writes it must have answered in the window', countArgument(1_000_000), 20)
    .option('--rules <file>', 'the file with the alert rules', RULES)
    .option('--json', 'print the verdict as JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 go on; 1 go back; 2 wait, because there were too few writes or a process does not answer its scrape.',
    )
    .action(async (options: Options) => {
      const criteria = readCriteria(readFileSync(options.rules, 'utf8'), options);
      const verdict = await judge(options.prometheus, options, criteria);
      const decision = decide(verdict, options.minWrites);
      console.log(options.json ? JSON.stringify({ ...verdict, decision }) : verdictText(verdict, decision));
      process.exitCode = EXIT_CODES[decision];
    }),
);

function verdictText({ criteria, processes, writes }: Verdict, decision: Decision): string {
  return [
    textTable(
      ['alert', 'fires', 'value'],
      criteria.map(({ alert, holds, value }) => [alert, holds ? 'no' : 'YES', value?.toFixed(3) ?? '']),
    ),
    '',
    `${processes.up} processes up, ${processes.down} down, ${writes} writes in the window: ${decision}`,
  ].join('\n');
}

function urlArgument(text: string): string {
  if (URL.canParse(text) && /^https?:/.test(text)) return text;
  throw new InvalidArgumentError('It must be a URL such as http://127.0.0.1:9090.');
}

function windowArgument(text: string): string {
  if (/^[1-9]\d{0,4}[smh]$/.test(text)) return text;
  throw new InvalidArgumentError('It must be a duration such as 30s, 2m or 1h.');
}
