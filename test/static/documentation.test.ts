import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { errorCatalog } from '../../api/openapi/error-catalog.ts';
import { READS } from '../../api/reads/read-list.ts';
import { existsInTree, readSourceTree } from '../support/source-tree.ts';

const page = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

const PAGES = ['README.md', 'CHANGELOG.md', ...readdirSync('docs').map((name) => `docs/${name}`)].filter((path) =>
  path.endsWith('.md'),
);

describe('the pages', () => {
  test('the README names every variable of the configuration', () => {
    const sources = ['worker/config.ts', 'api/config.ts'].map(page).join('\n');
    const variables = [...sources.matchAll(/^\s+(?:\.\.\.processConfig, )?([A-Z][A-Z_]{3,}): /gm)].map(
      (match) => match[1] ?? '',
    );
    expect(variables).toContain('DATABASE_URL');
    expect(variables).toContain('MAX_IN_FLIGHT_WRITES');
    expect(variables.filter((name) => !page('README.md').includes(`\`${name}\``))).toEqual([]);
  });

  test('the README names every command', () => {
    const { scripts } = JSON.parse(page('package.json')) as { scripts: Record<string, string> };
    const forOperators = Object.entries(scripts).filter(([, command]) =>
      /deploy\/(operator|contract|reports|smoke)\/|\/dev\.ts|\/production\//.test(command),
    );
    expect(forOperators).not.toEqual([]);
    expect(forOperators.map(([name]) => name).filter((name) => !page('README.md').includes(` ${name}`))).toEqual([]);
  });

  test('no page names a command that is not there', () => {
    const { scripts } = JSON.parse(page('package.json')) as { scripts: Record<string, string> };
    const unknown = PAGES.flatMap((path) =>
      [...page(path).matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g)].map(([, name = '']) => `${path}: ${name}`),
    ).filter((named) => !Object.hasOwn(scripts, named.split(': ')[1] ?? ''));
    expect(unknown).toEqual([]);
  });

  test('no page and no comment names a test file that is not there', () => {
    const named = readSourceTree().flatMap(({ path, text }) =>
      (text.match(/\btest\/[\w./-]+\.ts\b/g) ?? []).map((file) => ({ path, file })),
    );
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter(({ file }) => !existsInTree(file))).toEqual([]);
  });

  test.each(['README.md', 'docs/books.md', 'CHANGELOG.md'])('%s names every operation', (path) => {
    const names = OPERATIONS.map(({ name }) => name);
    // As a whole word: the name of one may begin that of another.
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(page(path)))).toEqual([]);
  });

  test('the contract tells of each list that can be read', () => {
    const lists = READS.filter(({ answers }) => answers.kind === 'list').map(({ path }) =>
      path.replace(/:(\w+)/g, '{$1}'),
    );
    expect(lists).toContain('/api/invoices');
    expect(lists.filter((path) => !page('docs/contract.md').includes(`\`${path}\``))).toEqual([]);
  });

  test('the contract tells of each status that a write can have', () => {
    const contract = page('docs/contract.md');
    const statuses = new Set(errorCatalog(OPERATIONS).flatMap(({ uses }) => uses.map(({ status }) => String(status))));
    expect([...statuses].filter((status) => !contract.includes(status))).toEqual([]);
  });
});
