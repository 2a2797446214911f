import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { projectFolder } from '../../deploy/cli/local-config.ts';
import { readMutations } from '../mutations/patches.ts';

describe('the patches of npm run test:mutations', () => {
  // Throws for a patch that does not say what it breaks, or names a test that is not there.
  const mutations = readMutations();

  test('are as many as the mechanisms that the promises rest on', () => {
    expect(mutations.length).toBeGreaterThanOrEqual(60);
  });

  test('apply to the code as it is', () => {
    const files = mutations.map(({ file }) => file);
    // All in one call, which takes no time; one by one only to tell which it is.
    const outdated = apply(files) ? [] : files.filter((file) => !apply([file]));
    expect(outdated, 'the code that these patches break has changed: make them anew').toEqual([]);
  });
});

function apply(files: readonly string[]): boolean {
  return spawnSync('git', ['apply', '--check', ...files], { cwd: projectFolder }).status === 0;
}
