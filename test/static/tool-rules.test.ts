import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PLANTED_IMPORTS, PLANTED_IN_A_FILE, type Planted } from '../support/planted-violations.ts';

/**
 * The rules of style that oxlint, Biome, dependency-cruiser and TypeScript hold: each tool, as it is configured here, over a
 * small tree in which each of them is broken once. What no tool can say is in tidy-rules.ts.
 */
const projectFolder = fileURLToPath(new URL('../../', import.meta.url));
const CONFIGURATION = [
  '.oxlintrc.json',
  'biome.json',
  '.biome',
  '.dependency-cruiser.cjs',
  'tsconfig.json',
  '.gitignore',
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'accubooks-rules-'));
  for (const name of CONFIGURATION) cpSync(join(projectFolder, name), join(folder, name), { recursive: true });
  for (const name of ['pg', '@types/pg', '@temporalio/common']) {
    cpSync(join(projectFolder, 'node_modules', name), join(folder, 'node_modules', name), { recursive: true });
  }
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('a rule on what a file says', () => {
  const found = new Map<string, Set<string>>();
  beforeAll(async () => {
    plant(PLANTED_IN_A_FILE);
    const [oxlint, biome] = await Promise.all([
      run('oxlint', '--format', 'json', '.'),
      run('biome', 'lint', '--reporter=json', '--max-diagnostics=none', '.'),
    ]);
    type Oxlint = { diagnostics: { filename: string; code: string }[] };
    type Biome = { diagnostics: { category: string; location: { path: string | { file: string } } }[] };
    for (const { filename, code } of (JSON.parse(oxlint) as Oxlint).diagnostics) note(filename, code);
    for (const { category, location } of (JSON.parse(biome) as Biome).diagnostics) {
      note(typeof location.path === 'string' ? location.path : location.path.file, category);
    }
  });
  const note = (path: string, rule: string) => found.set(path, (found.get(path) ?? new Set()).add(rule));

  test.each(PLANTED_IN_A_FILE)('$path', ({ path, rule }) => {
    const rules = [...(found.get(path) ?? [])];
    expect(rules.filter((one) => rule === undefined || one === rule)).toEqual(rule === undefined ? [] : [rule]);
  });
});

test('a rule on what a file imports', async () => {
  plant(PLANTED_IMPORTS);
  const paths = PLANTED_IMPORTS.map(({ path }) => path);
  const { summary } = JSON.parse(await run('depcruise', '--output-type', 'json', ...paths)) as {
    summary: { violations: { from: string; rule: { name: string } }[] };
  };
  expect(summary.violations.map(({ from, rule }) => `${from} ${rule.name}`).toSorted(inOrder)).toEqual(
    PLANTED_IMPORTS.flatMap(({ path, rule }) => (rule === undefined ? [] : [`${path} ${rule}`])).toSorted(inOrder),
  );
});

const inOrder = (one: string, other: string) => one.localeCompare(other);

test('TypeScript refuses an enum', async () => {
  plant([{ path: 'enum/problem.ts', text: 'export enum Code { A }\nexport const enum Kind { A }\n' }]);
  const told = await run('tsc', '--noEmit', '--erasableSyntaxOnly', '--ignoreConfig', 'enum/problem.ts');
  expect(told.match(/TS1294/g)).toHaveLength(2);
});

function plant(files: readonly Planted[]): void {
  for (const { path, text } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** What the tool prints; that it ends with an error is the rule. */
function run(tool: string, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const options = { cwd: folder, maxBuffer: 64 * 1024 * 1024 };
    execFile(join(projectFolder, 'node_modules/.bin', tool), args, options, (_error, stdout) => resolve(stdout));
  });
}
