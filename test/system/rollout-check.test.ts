import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { runCommand } from '../support/commands.ts';

const SCRIPT = 'deploy/rollout/check.ts';

test('rollout:check says of an alert that it fires, never that it holds', async () => {
  const { code, stdout } = await runCommand(SCRIPT, ['--help'], {});
  expect(code).toBe(0);
  expect(stdout.replace(/\s+/g, ' ')).toContain('whether the alerts that judge a version fire for that version only.');
  expect(stdout).not.toMatch(/\bholds?\b/);
});

test('and shows which does', async () => {
  const url = await prometheusWhere((query) => {
    if (query.startsWith('count(up')) return query.includes('== 1') ? [2] : [];
    if (query.startsWith('sum(increase(idempotent_writes_total')) return [100];
    return query.includes('idempotent_writes_failed_total') ? [0.25] : [];
  });
  const { code, stdout } = await runCommand(SCRIPT, ['--prometheus', url, '--version', 'green'], {});
  expect(code).toBe(1);
  expect(stdout).toMatch(/^alert +fires +value$/m);
  expect(stdout).toMatch(/^WritesFailing +YES +0\.250$/m);
  expect(stdout).toMatch(/^WritesSlow +no$/m);
  expect(stdout).toContain('2 processes up, 0 down, 100 writes in the window: go back');
});

/** Answers each query with these values, as Prometheus does. */
async function prometheusWhere(valuesOf: (query: string) => readonly number[]): Promise<string> {
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const values = valuesOf(new URLSearchParams(body).get('query') ?? '');
      const result = values.map((value) => ({ metric: {}, value: [0, String(value)] }));
      response.end(JSON.stringify({ status: 'success', data: { result } }));
    });
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
