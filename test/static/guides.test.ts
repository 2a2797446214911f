import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { copyTree, follow, OPERATION_GUIDE, OTHER_GUIDES, patched, runIn } from '../support/guides.ts';

/** Some seconds each on an idle machine. */
const CHECK_MS = 180_000;

/** `test/slow/long/guides.test.ts` runs the tests of the system on such a tree. */
describe('a tree that has followed the guides', () => {
  let folder: ThrowawayFolder;
  let written: string[];
  const tool = (name: string, ...args: string[]) => runIn(folder.path, [`node_modules/.bin/${name}`, ...args]);
  const read = (path: string) => readFileSync(join(folder.path, path), 'utf8');

  beforeAll(() => {
    folder = openThrowawayFolder();
    copyTree(folder.path);
    written = follow([...OPERATION_GUIDE, ...OTHER_GUIDES], folder.path);
  });
  afterAll(() => folder.remove());

  test(
    'compiles, but for a rejection that is misspelt in it on purpose',
    async () => {
      const [file] = OPERATION_GUIDE;
      const text = file?.text.replace("reject('account_name_unchanged'", "reject('account_name_unchangd'") ?? '';
      const path = 'activities/operations/misspelt.ts';
      follow([{ path, kind: 'file', text }], folder.path);
      const { output } = await tool('tsc', '--noEmit');
      rmSync(join(folder.path, path));
      expect(output).toContain('"account_name_unchangd"');
      expect(output.match(/error TS\d+/g)).toHaveLength(1);
    },
    CHECK_MS,
  );

  test(
    'is formatted, and has nothing that a linter complains of or that nobody uses',
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
    CHECK_MS,
  );

  test(
    'has in its generated pages what was added',
    async () => {
      for (const script of ['reference', 'manifests', 'client:generate']) {
        const { ok, output } = await runIn(folder.path, ['npm', 'run', '--silent', script]);
        expect([script, ok ? '' : output]).toEqual([script, '']);
      }
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
    CHECK_MS,
  );
});

test('the operation takes one file, one line in the list, a migration, what its answer fixes, and a model for requests at random', () => {
  const paths = [...new Set(OPERATION_GUIDE.map(({ path, kind }) => `${kind} ${path}`))];
  expect(paths).toEqual([
    'file activities/operations/rename-account.ts',
    'diff activities/operation-list.ts',
    'file migrations/NNNN_rename_account.sql',
    'diff activities/controls/answers/ledger.ts',
    'diff deploy/simulate/requests/ledger.ts',
  ]);
});

test('a change fits in one place, or is refused', () => {
  const file = 'one\ntwo …\nthree and more\none\n';
  expect(patched(file, ' three …\n+four\n', 'f')).toBe('one\ntwo …\nthree and more\nfour\none\n');
  expect(patched(file, ' one\n-two …\n+2\n', 'f')).toBe('one\n2\nthree and more\none\n');
  expect(() => patched(file, ' one\n+five\n', 'f')).toThrow('stands 2 times');
  expect(() => patched(file, ' six\n+five\n', 'f')).toThrow('stands 0 times');
});
