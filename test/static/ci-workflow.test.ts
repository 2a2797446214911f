import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { workflowFaults } from '../support/ci-rules.ts';

const text = readFileSync('.github/workflows/ci.yml', 'utf8');

describe('the workflow of the hosted CI', () => {
  test('runs what .ci/run runs, with pinned actions, no rights and a limit', () => {
    expect(workflowFaults(text)).toEqual([]);
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
    ['unknown key run-on', (given) => given.replace('runs-on', 'run-on')],
    ['pull_request_target', (given) => given.replace('  pull_request:', '  pull_request_target:')],
    [
      'an expression in a command',
      (given) => given.replace('bash .ci/run', `bash .ci/run $${'{{'} github.head_ref }}`),
    ],
  ];
  test.each(spoilt)('is refused for: %s', (fault, spoil) => {
    expect(spoil(text)).not.toBe(text);
    expect(workflowFaults(spoil(text)).join('\n')).toContain(fault);
  });
});
