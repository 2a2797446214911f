import { markdownTable, textTable } from '../../deploy/cli/table.ts';
import type { Mutation } from './patches.ts';
import { type ModuleScore, scoreOf } from './pure.ts';

export type Verdict = Mutation & {
  readonly result: 'noticed' | 'survived' | 'does not load' | 'not applicable';
  /** The test that failed first. */
  readonly by: string | undefined;
  readonly seconds: number;
};

export function mutationsText(verdicts: readonly Verdict[]): string {
  return [textTable(['mutation', 'result', 'by', 's'], verdicts.map(line)), '', summary(verdicts)].join('\n');
}

export function mutationsMarkdown(verdicts: readonly Verdict[]): string {
  return [
    summary(verdicts),
    '',
    // Its columns are sentences, so none is right-aligned; a test's name may hold any character.
    markdownTable(
      ['mutation', 'what breaks', 'noticed by'],
      verdicts.map(({ name, breaks, by, result }) =>
        [name, breaks, result === 'noticed' ? (by ?? '') : result].map((cell) => cell.replaceAll('|', '\\|')),
      ),
    ).replace('| --: | --: |', '| --- | --- |'),
    '',
  ].join('\n');
}

/** The score of each module, and what survived. */
export function pureText(modules: readonly ModuleScore[]): string {
  const percent = (module: ModuleScore) => (100 * scoreOf(module)).toFixed(1);
  return [
    textTable(
      ['module', 'mutants', 'noticed', '%'],
      modules.map((module) => [module.module, String(module.mutants), String(module.noticed), percent(module)]),
    ),
    ...modules.flatMap(({ module, survivors }) => survivors.map((survivor) => `${module}, ${survivor}`)),
  ].join('\n');
}

function line({ name, result, by, seconds }: Verdict): string[] {
  return [name, result, by ?? '', seconds.toFixed(0)];
}

function summary(verdicts: readonly Verdict[]): string {
  const noticed = verdicts.filter(({ result }) => result === 'noticed').length;
  return `${noticed} of ${verdicts.length} mutations were noticed by a test.`;
}
