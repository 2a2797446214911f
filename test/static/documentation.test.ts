import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { errorCatalog } from '../../api/openapi/error-catalog.ts';
import { READS } from '../../api/reads/read-list.ts';
import { operationsPage } from '../../deploy/reference/operations-page.ts';
import { OPERATION_GUIDE, OTHER_GUIDES } from '../support/guides.ts';
import { existsInTree, readSourceTree } from '../support/source-tree.ts';

const page = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const PAGES = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(new URL('../../docs', import.meta.url)).map((name) => `docs/${name}`),
].filter((path) => path.endsWith('.md'));
/** Files that a reader of the guides is to create. */
const CREATED_BY_READERS = [...OPERATION_GUIDE, ...OTHER_GUIDES].flatMap(({ kind, path }) =>
  kind === 'file' ? [path] : [],
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

  test('the README’s map names every folder inside the larger ones', () => {
    const folders = ['api', 'activities', 'deploy', 'test'].flatMap((parent) =>
      readdirSync(new URL(`../../${parent}`, import.meta.url), { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name),
    );
    expect(folders).toContain('submit');
    expect(folders.filter((name) => !page('README.md').includes(`\`${name}/\``))).toEqual([]);
  });

  test('no page names a file or folder that is not there', () => {
    const NAMED = /`((?:api|activities|worker|workflows|deploy|migrations|test)\/[\w./-]*(?:\/|\.\w+))`/g;
    const named = PAGES.flatMap((path) => [...page(path).matchAll(NAMED)].map(([, file = '']) => ({ path, file })));
    expect(named).toContainEqual({ path: 'docs/write-path.md', file: 'activities/write/run-operation.ts' });
    const missing = named.filter(({ file }) => !existsSync(new URL(`../../${file}`, import.meta.url)));
    expect(missing.filter(({ file }) => !CREATED_BY_READERS.includes(file))).toEqual([]);
  });

  test('no page and no comment names a test file that is not there', () => {
    const files = readSourceTree().filter(({ path }) => path !== 'test/support/planted-violations.ts');
    const named = files.flatMap(({ path, text }) =>
      (text.match(/\btest\/[\w./-]+\.ts\b/g) ?? []).map((file) => ({ path, file })),
    );
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter(({ file }) => !existsInTree(file) && !CREATED_BY_READERS.includes(file))).toEqual([]);
  });

  test('no page names a command that is not there', () => {
    const { scripts } = JSON.parse(page('package.json')) as { scripts: Record<string, string> };
    const unknown = PAGES.flatMap((path) =>
      [...page(path).matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g)].map(([, name = '']) => `${path}: ${name}`),
    ).filter((named) => !Object.hasOwn(scripts, named.split(': ')[1] ?? ''));
    expect(unknown).toEqual([]);
  });

  test('the reference says of each member of a request what it is', () => {
    const empty = operationsPage(OPERATIONS).match(/^\| `.*\| +\|$/gm);
    expect(empty).toBeNull();
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
