import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, inject, test } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../support/stalling-worker.ts', import.meta.url));

test('a process lives on after its workflow code has stood still for longer than the SDK waits', async () => {
  const end = await new Promise((resolve) => {
    const args = ['--import', 'tsx', SCRIPT, inject('temporalAddress')];
    execFile(process.execPath, args, { timeout: 90_000 }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
  expect(end).toContain('It went on.');
});
