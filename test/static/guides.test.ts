import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { copyTree, follow, OPERATION_GUIDE, OTHER_GUIDES, patched, runIn } from '../support/guides.ts';

/** Some seconds each on an idle machine. */
const CHECK_MS = 180_000;

/** `test/slow/long/guides.test.ts` checks such a tree by all other tools, and runs the tests of the system on it. */
describe('a tree that has followed the guides', () => {
  let folder: ThrowawayFolder;

  beforeAll(() => {
    folder = openThrowawayFolder();
    copyTree(folder.path);
    follow([...OPERATION_GUIDE, ...OTHER_GUIDES], folder.path);
  });
  afterAll(() => folder.remove());

  test(
    'compiles, but for a rejection that is misspelt in it on purpose',
    async () => {
      const [file] = OPERATION_GUIDE;
      const text = file?.text.replace("reject('account_name_unchanged'", "reject('account_name_unchangd'") ?? '';
      const path = 'activities/operations/misspelt.ts';
      follow([{ path, kind: 'file', text }], folder.path);
      const { output } = await runIn(folder.path, ['node_modules/.bin/tsc', '--noEmit']);
      rmSync(join(folder.path, path));
      expect(output).toContain('"account_name_unchangd"');
      expect(output.match(/error TS\d+/g)).toHaveLength(1);
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
