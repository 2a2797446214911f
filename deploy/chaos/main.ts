/** `npm run test:chaos -- …`: makes trouble while clients write, and checks in the database that every promise held. */
import { InvalidArgumentError, Option } from 'commander';
import { seedArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { createProgress } from '../cli/progress.ts';
import { putBetweenMarkers } from '../load/benchmark/markers.ts';
import { chaosJson, chaosMarkdown, chaosText, scenarioList, violationsOf } from './report.ts';
import { type Options, runScenario, type ScenarioEnd, whatIsLacking } from './run.ts';
import { SCENARIOS } from './scenario-list.ts';

type CommandOptions = Options & {
  readonly scenario?: readonly string[];
  readonly list?: true;
  readonly json?: true;
  readonly markdown?: string;
};

const MAX_MINUTES = 24 * 60;
const CODE_OF_SIGINT = 130;

await run(
  command('test:chaos', 'Makes trouble while clients write, and checks in the database that every promise held.')
    .addOption(
      new Option('--scenario <name...>', 'which to run, by default all').choices(SCENARIOS.map(({ name }) => name)),
    )
    .option('--minutes <m>', 'how long the trouble of each lasts, with the calm around it', minutesArgument, 0.5)
    .option('--seed <text>', 'the same seed makes the same choices', seedArgument, 'accubooks')
    .option('--url <url>', 'the API, by default the local one')
    .option('--database-url <url>', "the database behind it, with its owner's login")
    .option('--tenants-file <file>', 'companies to use: the output of company:create, a token on each line')
    .option('--list', 'print each scenario, its promise and what it needs')
    .option('--json', 'print the result as JSON')
    .option('--markdown <file>', 'also write the table between the markers of this page')
    .addHelpText(
      'after',
      '\nIt kills and freezes processes of the local system; it never does so elsewhere. Ctrl-C undoes the trouble.\nExits 1 on any violation.',
    )
    .action(makeTrouble),
);

async function makeTrouble(options: CommandOptions): Promise<void> {
  if (options.list) {
    console.log(scenarioList(SCENARIOS));
    return;
  }
  if (options.markdown !== undefined && options.scenario !== undefined) {
    throw new Error('--markdown needs all scenarios, since the page shows them together: leave out --scenario.');
  }
  const chosen = SCENARIOS.filter(({ name }) => options.scenario?.includes(name) ?? true);
  for (const scenario of options.scenario === undefined ? [] : chosen) {
    const lacking = whatIsLacking(scenario, options);
    if (lacking !== undefined) throw new Error(`${scenario.name} cannot run: it needs ${lacking}.`);
  }
  const interrupted = endAtCtrlC();
  const ends: ScenarioEnd[] = [];
  for (const scenario of chosen) ends.push(await runScenario(scenario, options, createProgress(), interrupted));
  const asked = options.scenario === undefined ? undefined : ends.find((end) => 'notRun' in end);
  if (options.markdown !== undefined) putBetweenMarkers(options.markdown, 'chaos', chaosMarkdown(ends, options));
  console.log(options.json ? JSON.stringify(chaosJson(ends, options)) : chaosText(ends));
  if (asked !== undefined || ends.some((end) => violationsOf(end).length > 0)) process.exitCode = 1;
}

/** The exit itself lets frozen processes go on, and the server ends our sessions and with them their locks. */
function endAtCtrlC(): AbortSignal {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      console.error('· Stopping');
      interrupted.abort(new Error('interrupted'));
      process.exit(CODE_OF_SIGINT);
    });
  }
  return interrupted.signal;
}

function minutesArgument(text: string): number {
  const minutes = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && minutes > 0 && minutes <= MAX_MINUTES) return minutes;
  throw new InvalidArgumentError('It must be a number of minutes, such as 0.5 or 30, at most a day.');
}
