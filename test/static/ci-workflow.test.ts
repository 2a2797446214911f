import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { workflowFaults } from '../support/ci-rules.ts';

const text = readFileSync('.github/workflows/ci.yml', 'utf8');
/** What `.ci/verify` runs when it is not told which parts. */
const onOneMachine = /PARTS:-([^}]+)/.exec(readFileSync('.ci/verify', 'utf8'))?.[1]?.split(' ') ?? [];
/** The hosted CI has the time for every long test. */
const parts = onOneMachine.map((part) => (part === 'test:restores' ? 'test:slow' : part));

describe('the workflow of the hosted CI', () => {
  test('runs what .ci/run runs, with pinned actions, no rights and a limit', () => {
    expect(parts).toEqual(['checks', 'test', 'test:slow']);
    expect(workflowFaults(text, parts)).toEqual([]);
  });

  const spoilt: [string, (text: string) => string][] = [
    ['is not pinned', (given) => given.replace(/checkout@\w{40} # v[\d.]+/, 'checkout@v5')],
    ['says no version', (given) => given.replace(/(checkout@\w{40}) # v[\d.]+/, '$1')],
    ['permissions', (given) => given.replace('contents: read', 'contents: write')],
    ['permissions', (given) => given.replace(/permissions:\n {2}contents: read\n/, '')],
    ['timeout-minutes', (given) => given.replace(/ {4}timeout-minutes: \d+\n/, '')],
    ['concurrency', (given) => given.replace(/concurrency:\n( {2}.*\n)+/, '')],
    ['.ci/run', (given) => given.replace('bash .ci/run', 'npm test')],
    ['persist-credentials', (given) => given.replace('persist-credentials: false', 'persist-credentials: true')],
    ['the shares of test are not the whole of it', (given) => given.replace('shard: 2/2', 'shard: 1/2')],
    ['the shares of test:slow are not the whole of it', (given) => given.replace('part: test:slow', 'part: checks')],
    ['there is no part lint', (given) => given.replace('part: checks', 'part: lint')],
    ['unknown key run-on', (given) => given.replace('runs-on', 'run-on')],
    ['pull_request_target', (given) => given.replace('  pull_request:', '  pull_request_target:')],
    [
      'an expression in a command',
      (given) => given.replace('bash .ci/run', `bash .ci/run $${'{{'} github.head_ref }}`),
    ],
  ];
  test.each(spoilt)('is refused for: %s', (fault, spoil) => {
    expect(spoil(text)).not.toBe(text);
    expect(workflowFaults(spoil(text), parts).join('\n')).toContain(fault);
  });
});
