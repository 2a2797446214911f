import { describe, expect, test } from 'vitest';
import { existsInTree, listPaths, readSourceTree } from '../support/source-tree.ts';
import { complaints, RULES } from '../support/tidy-rules.ts';
import { brokenLinks, leftovers, unknownFolders } from '../support/tree-rules.ts';

const tree = readSourceTree();

describe('style', () => {
  for (const rule of RULES) {
    test(rule.promise, () => {
      expect(complaints(rule, tree)).toEqual([]);
    });
  }

  test('links between pages lead somewhere', () => {
    const pages = tree.filter((file) => file.path.endsWith('.md'));
    expect(pages.flatMap((page) => brokenLinks(page, existsInTree))).toEqual([]);
  });

  test('the top level has the known folders only', () => {
    const folders = new Set(tree.flatMap(({ path }) => (path.includes('/') ? [path.slice(0, path.indexOf('/'))] : [])));
    expect(unknownFolders([...folders])).toEqual([]);
  });

  test('nothing is left over of a tool that has changed files', () => {
    expect(leftovers(listPaths())).toEqual([]);
  });
});

describe('each rule of style can fail', () => {
  for (const rule of RULES) {
    test(rule.promise, () => {
      expect(complaints(rule, [rule.planted])).not.toEqual([]);
      expect(complaints(rule, [rule.fine])).toEqual([]);
    });
  }

  test('links between pages lead somewhere', () => {
    const text = '[a](contract.md#keys) [b](https://example.com/x) [c](../README.md) [d](/docs/errors) [e](gone.md)';
    const found = brokenLinks({ path: 'docs/README.md', text }, (path) => path !== 'docs/gone.md');
    expect(found).toEqual([expect.stringContaining('docs/gone.md')]);
  });

  test('the top level has the known folders only', () => {
    expect(unknownFolders(['api', '.ci', 'src'])).toEqual([expect.stringContaining('src/')]);
  });

  test('nothing is left over of a tool that has changed files', () => {
    const found = leftovers(['migrations/0001_companies.sql', 'migrations/0001_companies.sql.orig', 'api/main.ts~']);
    expect(found.map((complaint) => complaint.split(':')[0])).toEqual([
      'migrations/0001_companies.sql.orig',
      'api/main.ts~',
    ]);
  });
});
