import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker as Thread } from 'node:worker_threads';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { expect, inject, test, vi } from 'vitest';
import { createWorker } from '../../worker/create-worker.ts';

const SCRIPT = fileURLToPath(new URL('../support/stalling-worker.ts', import.meta.url));

test('a process lives on after its workflow code has stood still for longer than the SDK waits', async () => {
  const end = await new Promise((resolve) => {
    const args = ['--import', 'tsx', SCRIPT, inject('temporalAddress')];
    execFile(process.execPath, args, { timeout: 90_000 }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
  expect(end).toContain('It went on.');
});

test('no call into the sandbox has a limit: for each that has one, Node starts a thread and ends it', async () => {
  const toThreads = vi.spyOn(Thread.prototype, 'postMessage');
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const basis = {
    config: { TEMPORAL_NAMESPACE: 'default', PAYLOAD_KEYS: undefined, PAYLOAD_ENCRYPTION: 'accept' },
    logger: pino({ level: 'silent' }),
    metrics: { temporalRefused: { inc() {} } },
  } as const;
  const workflowBundle = { codePath: inject('bundlePath') };
  const worker = await createWorker(basis, { connection, taskQueue: 'unlimited', workflowBundle });
  const [first] = toThreads.mock.calls.map(([message]) => message.input);
  toThreads.mockRestore();
  await worker.runUntil(Promise.resolve());
  await connection.close();
  expect(first.type).toBe('init');
  expect(first.isolateExecutionTimeoutMs).toBeUndefined();
});
