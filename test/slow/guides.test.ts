import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { copyTree, follow, OPERATION_GUIDE, OTHER_GUIDES } from '../support/guides.ts';

/** Servers and a dozen files of tests, on a machine that does other things as well. */
const RUN_MS = 600_000;
const CACHE = process.env['ACCUBOOKS_CACHE_DIR'] ?? join(import.meta.dirname, '../../.cache');

/** Tests of every operation: only those of the new one are run. */
const OF_EACH_OPERATION = ['each-operation', 'roles', 'load', 'malformed-random'];
/** Tests that a new operation, read, metric or variable could fail. */
const OF_ALL = ['openapi', 'openapi-reads', 'read-access', 'cardinality', 'configuration', 'isolation'];

describe('the tests of the system, on a tree that has followed the guides and nothing else', () => {
  let folder: ThrowawayFolder;
  beforeAll(() => {
    folder = openThrowawayFolder();
    copyTree(folder.path);
    follow([...OPERATION_GUIDE, ...OTHER_GUIDES], folder.path);
  });
  afterAll(() => folder.remove());

  /** Not as a part of this very run: Vitest tells by its variables whose worker it is. */
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')));
  function run(...args: string[]) {
    const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', ...args], {
      cwd: folder.path,
      encoding: 'utf8',
      env: { ...environment, ACCUBOOKS_CACHE_DIR: CACHE, NO_COLOR: '1' },
    });
    return { status, output: `${stdout}${stderr}` };
  }

  test(
    'everything that is generated can be generated',
    () => {
      const { status, output } = run('generate');
      expect([status, output]).toEqual([0, expect.stringContaining('wrote migrations/schema.sql')]);
    },
    RUN_MS,
  );

  test(
    'the tests of each operation pass for the new one',
    () => {
      const files = OF_EACH_OPERATION.map((name) => `test/system/${name}.test.ts`);
      const { status, output } = run('test', '--', ...files, '--maxWorkers=1', '-t', 'extendDueDate');
      expect([status, status === 0 ? '' : output]).toEqual([0, '']);
      // Five steps of the walk, its roles, its load, and what is malformed.
      expect(Number(/(\d+) passed, 0 failed/.exec(output)?.[1])).toBeGreaterThanOrEqual(8);
    },
    RUN_MS,
  );

  test(
    'the tests of all operations, reads, metrics and variables pass',
    () => {
      const { status, output } = run(
        'test',
        '--',
        ...OF_ALL.map((name) => `test/system/${name}.test.ts`),
        '--maxWorkers=1',
      );
      expect([status, status === 0 ? '' : output]).toEqual([0, '']);
    },
    RUN_MS,
  );
});
