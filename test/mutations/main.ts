/** `npm run test:mutations [-- NAME…]`: breaks the code on purpose, one patch at a time, and demands that a test notices. */

import { command, run } from '../../deploy/cli/command.ts';
import { createProgress } from '../../deploy/cli/progress.ts';
import { putBetweenMarkers } from '../../deploy/load/benchmark/markers.ts';
import { openCopy } from './copy.ts';
import { type Mutation, readMutations } from './patches.ts';
import { isTooLow, judgePure } from './pure.ts';
import { mutationsMarkdown, mutationsText, pureText, type Verdict } from './report.ts';

type Options = { readonly list?: true; readonly json?: true; readonly markdown?: string; readonly pure?: true };

await run(
  command(
    'test:mutations',
    'Applies each patch of test/mutations to a copy of this folder, runs the tests that it names, and demands that one of them fails.',
  )
    .argument('[names...]', 'patches to apply, or the beginnings of their names; by default all')
    .option(
      '--pure',
      'instead, let Stryker mutate the modules that are pure functions; fails below 90 % in one of them',
    )
    .option('--list', 'print the patches without applying them')
    .option('--markdown <file>', 'write the table into this page, between its markers')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', '\nExits 1 if a mutation survives, cannot be applied, or if a test fails without any.')
    .action(testMutations),
);

async function testMutations(names: readonly string[], options: Options): Promise<void> {
  if (options.pure) {
    const modules = judgePure(console.error);
    console.log(options.json ? JSON.stringify(modules) : pureText(modules));
    if (modules.some(isTooLow)) process.exitCode = 1;
    return;
  }
  const mutations = readMutations(names);
  if (options.list) {
    console.log(mutations.map(({ name, breaks }) => `${name}: ${breaks}`).join('\n'));
    return;
  }
  const verdicts = await judge(mutations);
  console.log(options.json ? JSON.stringify(verdicts) : mutationsText(verdicts));
  if (options.markdown !== undefined) putBetweenMarkers(options.markdown, 'mutations', mutationsMarkdown(verdicts));
  if (verdicts.some(({ result }) => result !== 'noticed')) process.exitCode = 1;
}

async function judge(mutations: readonly Mutation[]): Promise<Verdict[]> {
  const progress = createProgress();
  const copy = openCopy();
  try {
    progress.update('the tests without a mutation');
    const clean = await copy.runTests([...new Set(mutations.flatMap(({ tests }) => tests))], { bail: false });
    if (clean.failed.length > 0 || clean.broken.length > 0) {
      throw new Error(`Without any mutation, these fail:\n${[...clean.failed, ...clean.broken].join('\n')}`);
    }
    const verdicts: Verdict[] = [];
    for (const mutation of mutations) {
      progress.update(`${verdicts.length + 1} of ${mutations.length}: ${mutation.name}`);
      const verdict = await judgeOne(mutation, copy);
      verdicts.push(verdict);
      progress.done(`${mutation.name}: ${verdict.result}${verdict.by === undefined ? '' : ` by "${verdict.by}"`}`);
    }
    return verdicts;
  } finally {
    copy.remove();
  }
}

async function judgeOne(mutation: Mutation, copy: ReturnType<typeof openCopy>): Promise<Verdict> {
  const startedAt = performance.now();
  const verdict = (result: Verdict['result'], by?: string): Verdict => ({
    ...mutation,
    result,
    by,
    seconds: (performance.now() - startedAt) / 1_000,
  });
  if (!copy.apply(mutation.file)) return verdict('not applicable');
  try {
    const { failed, broken } = await copy.runTests(mutation.tests, { bail: true });
    if (failed.length > 0) return verdict('noticed', failed[0]);
    // A file that does not even load says nothing about the mechanism.
    return broken.length > 0 ? verdict('does not load', broken[0]) : verdict('survived');
  } finally {
    copy.revert(mutation.file);
  }
}
