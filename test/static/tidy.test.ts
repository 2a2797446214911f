import { describe, expect, test } from 'vitest';
import { existsInTree, readSourceTree } from '../support/source-tree.ts';
import { complaints, RULES } from '../support/tidy-rules.ts';
import { brokenLinks, unknownFolders, unlistedOperations } from '../support/tree-rules.ts';

const tree = readSourceTree();
const OPERATION_LIST_PATH = 'activities/operation-list.ts';

describe('style', () => {
  for (const rule of RULES) {
    test(rule.promise, () => {
      expect(complaints(rule, tree)).toEqual([]);
    });
  }

  test('each operation is in the list', () => {
    const list = tree.find((file) => file.path === OPERATION_LIST_PATH) ?? { path: OPERATION_LIST_PATH, text: '' };
    const operations = tree.map((file) => file.path).filter((path) => /^activities\/operations\/[^/]+\.ts$/.test(path));
    expect(operations).not.toEqual([]);
    expect(unlistedOperations(operations, list)).toEqual([]);
  });

  test('links between pages lead somewhere', () => {
    const pages = tree.filter((file) => file.path.endsWith('.md'));
    expect(pages.flatMap((page) => brokenLinks(page, existsInTree))).toEqual([]);
  });

  test('the top level has the known folders only', () => {
    const folders = new Set(tree.flatMap(({ path }) => (path.includes('/') ? [path.slice(0, path.indexOf('/'))] : [])));
    expect(unknownFolders([...folders])).toEqual([]);
  });
});

describe('each rule of style can fail', () => {
  for (const rule of RULES) {
    test(rule.promise, () => {
      expect(complaints(rule, [rule.planted])).not.toEqual([]);
      expect(complaints(rule, [rule.fine])).toEqual([]);
    });
  }

  test('each operation is in the list', () => {
    const list = { path: OPERATION_LIST_PATH, text: "import { createPayment } from './operations/create-payment.ts';" };
    const paths = ['activities/operations/create-payment.ts', 'activities/operations/payment.ts'];
    expect(unlistedOperations(paths, list)).toEqual([expect.stringContaining('operations/payment.ts')]);
  });

  test('links between pages lead somewhere', () => {
    const text = '[a](contract.md#keys) [b](https://example.com/x) [c](../README.md) [d](/docs/errors) [e](gone.md)';
    const found = brokenLinks({ path: 'docs/README.md', text }, (path) => path !== 'docs/gone.md');
    expect(found).toEqual([expect.stringContaining('docs/gone.md')]);
  });

  test('the top level has the known folders only', () => {
    expect(unknownFolders(['api', '.ci', 'src'])).toEqual([expect.stringContaining('src/')]);
  });
});
