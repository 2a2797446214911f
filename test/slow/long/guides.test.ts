import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openThrowawayFolder, type ThrowawayFolder } from '../../../deploy/local/throwaway-folder.ts';
import { copyTree, follow, OPERATION_GUIDE, OTHER_GUIDES, runIn } from '../../support/guides.ts';

/** Servers and a dozen files of tests, on a machine that does other things as well. */
const RUN_MS = 600_000;
const CACHE = process.env['ACCUBOOKS_CACHE_DIR'] ?? join(import.meta.dirname, '../../../.cache');

/** Tests of every operation, by their files, and how many of them are of the new one alone. */
const OF_EACH_OPERATION = {
  'system/each-operation': 5,
  'system/roles': 1,
  'system/load': 1,
  'slow/malformed-random': 1,
  'system/client-package': 1,
};
/** Tests that a new operation, read, metric, variable or alert could fail. */
const OF_ALL = [
  'system/openapi-reads',
  'static/documentation',
  'static/client-methods',
  'system/openapi',
  'system/client-package',
  'system/read-access',
  'system/cardinality',
  'system/configuration',
  'system/isolation',
  'system/controls',
  'system/alerts',
  'system/runbooks',
  'static/manifests',
  'static/tidy',
];

describe('on a tree that has followed the guides and nothing else', () => {
  let folder: ThrowawayFolder;
  let written: string[];
  beforeAll(() => {
    folder = openThrowawayFolder();
    copyTree(folder.path);
    written = follow([...OPERATION_GUIDE, ...OTHER_GUIDES], folder.path);
  });
  afterAll(() => folder.remove());

  /** Not as a part of this very run: Vitest tells by its variables whose worker it is. */
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST') && name !== 'TEST');
  const environment = { ...Object.fromEntries(inherited), ACCUBOOKS_CACHE_DIR: CACHE, NO_COLOR: '1' };
  const run = (...args: string[]) => runIn(folder.path, ['npm', 'run', '--silent', ...args], environment);
  const runTests = (files: readonly string[], ...args: string[]) =>
    run('test', '--', ...files.map((name) => `test/${name}.test.ts`), '--maxWorkers=1', ...args);

  const tool = (name: string, ...args: string[]) => runIn(folder.path, [`node_modules/.bin/${name}`, ...args]);
  const read = (path: string) => readFileSync(join(folder.path, path), 'utf8');

  test(
    'the code is formatted, and has nothing that a linter complains of or that nobody uses',
    async () => {
      const code = written.filter((path) => path.endsWith('.ts'));
      for (const [name, ...args] of [
        ['biome', 'check', '--error-on-warnings', ...code],
        ['oxlint', '--deny-warnings', ...code],
        ['knip'],
      ] as const) {
        const { ok, output } = await tool(name, ...args);
        expect([name, ok ? '' : output]).toEqual([name, '']);
      }
    },
    RUN_MS,
  );

  test(
    'everything that is generated can be generated, and has in it what was added',
    async () => {
      const { ok, output } = await run('generate');
      expect([ok, output]).toEqual([true, expect.stringContaining('wrote migrations/schema.sql')]);
      expect(read('README.md')).toMatch(/^\| `\/api\/ledger` \| .*`renameAccount`/m);
      expect(read('docs/books.md')).toMatch(/^The others post none: .*\brenameAccount\b/m);
      expect(read('docs/reference/operations.md')).toContain('## renameAccount');
      expect(read('docs/reference/errors.md')).toContain('## account_name_unchanged');
      expect(read('docs/reference/roles.md')).toContain('| `renameAccount` | yes | yes |  | yes |');
      for (const path of ['/api/inventory/value', '/api/approvals', '/api/reports/general-ledger']) {
        expect(read('docs/reference/roles.md')).toContain(`| \`${path}\` | yes |`);
      }
      expect(read('deploy/kubernetes/base/shared/prometheus-rule.yaml')).toContain('alert: RequestsRateLimited');
      const methods = read('deploy/client/src/generated/books.ts');
      expect(methods).toContain('rename(code: string, body: RenameAccountBody, options?: WriteOptions): PendingWrite<');
      expect(methods).toContain('inventoryValue(options?: CallOptions): Promise<StockValue>;');
      expect(read('deploy/client/src/generated/types.ts')).toContain("| 'account_name_unchanged'");
    },
    RUN_MS,
  );

  test(
    'the tests of each operation pass for the new one',
    async () => {
      const { ok, output } = await runTests(Object.keys(OF_EACH_OPERATION), '-t', 'renameAccount');
      expect([ok, ok ? '' : output]).toEqual([true, '']);
      const meant = Object.values(OF_EACH_OPERATION).reduce((sum, count) => sum + count, 0);
      expect(Number(/(\d+) passed, 0 failed/.exec(output)?.[1])).toBe(meant);
    },
    RUN_MS,
  );

  test(
    'the tests of all operations, reads, metrics, variables and alerts pass',
    async () => {
      const { ok, output } = await runTests(OF_ALL);
      expect([ok, ok ? '' : output]).toEqual([true, '']);
    },
    RUN_MS,
  );
});
