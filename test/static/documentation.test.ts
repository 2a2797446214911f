import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { errorCatalog } from '../../api/openapi/error-catalog.ts';
import { READS } from '../../api/reads/read-list.ts';

const page = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

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
    const pages = [
      'README.md',
      'CHANGELOG.md',
      ...readdirSync(new URL('../../docs', import.meta.url)).map((name) => `docs/${name}`),
    ];
    const unknown = pages
      .filter((path) => path.endsWith('.md'))
      .flatMap((path) =>
        [...page(path).matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g)].map(([, name = '']) => `${path}: ${name}`),
      )
      .filter((named) => !Object.hasOwn(scripts, named.split(': ')[1] ?? ''));
    expect(unknown).toEqual([]);
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
