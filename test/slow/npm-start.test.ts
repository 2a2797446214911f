import { afterAll, describe, expect, test } from 'vitest';
import type { LocalSystem } from '../../deploy/cli/local-json.ts';
import { openThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { freeLoopbackPort } from '../../worker/free-port.ts';
import { createApiClient } from '../support/client.ts';
import { inForm } from '../support/form.ts';
import { until } from '../support/held-invoice.ts';
import { aliveOf, endAll, type LocalRun, npmStart } from '../support/npm-start.ts';

/** A start loads, compiles and migrates; a stop finishes what runs. */
const TIMEOUT_MS = 300_000;
const SERVERS = ['postgres', 'temporal'];
const ALL = ['api', 'launcher', ...SERVERS, 'worker'];

describe('npm start', { timeout: TIMEOUT_MS }, () => {
  const folder = openThrowawayFolder();
  const known: LocalSystem[] = [];
  afterAll(() => {
    endAll(known);
    folder.remove();
  });

  let port: number;
  let run: LocalRun;
  let first: { readonly key: string; readonly text: string };

  async function start(): Promise<void> {
    run = await npmStart(folder.path, port);
    known.push(run.local);
  }

  /** Sends the payment of the first start under its key. */
  async function replay() {
    const { body } = printedRequest(run.printed);
    const { apiUrl, token } = run.local;
    return createApiClient(apiUrl, token).post('/api/payments', body, { key: first.key });
  }

  test('on an empty folder: the request that it prints is a write, and once more its replay', async () => {
    port = await freeLoopbackPort();
    await start();
    expect(aliveOf(run.local).toSorted()).toEqual(ALL);
    expect(run.local.apiUrl).toBe(`http://127.0.0.1:${port}`);

    const { url, headers, body } = printedRequest(run.printed);
    const send = () => fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    const [written, again] = [await send(), await send()];
    const [text, textAgain] = [await written.text(), await again.text()];
    expect([written.status, written.headers.get('idempotent-replayed')]).toEqual([201, null]);
    expect([again.status, again.headers.get('idempotent-replayed'), textAgain]).toEqual([201, 'true', text]);
    first = { key: headers['Idempotency-Key'] ?? '', text };
  });

  test('at Ctrl-C ends all that it has started', async () => {
    expect(await run.interrupt()).toBe(0);
    expect(aliveOf(run.local)).toEqual([]);
  });

  // Two more starts: the long form has them.
  describe.each(inForm({ short: [], long: ['once more'] }))('%s', () => {
    test('over the same data, knows what it has written', async () => {
      await start();
      expect(run.printed).not.toContain('applied 0001');
      const answer = await replay();
      expect([answer.status, answer.replayed, answer.text]).toEqual([201, true, first.text]);
    });

    test('after kill -9 of the launcher, takes its servers over, and knows what it has written', async () => {
      const before = run.local;
      process.kill(before.pids.launcher, 'SIGKILL');
      await run.ended;
      // API and worker notice that the launcher is gone; the servers go on.
      await until('API and worker to end', async () => aliveOf(before).toSorted().join() === SERVERS.join());
      await start();
      const { pids } = run.local;
      expect([pids.postgres, pids.temporal]).toEqual([before.pids.postgres, before.pids.temporal]);
      expect(aliveOf(run.local).toSorted()).toEqual(ALL);
      const answer = await replay();
      expect([answer.status, answer.replayed, answer.text]).toEqual([201, true, first.text]);

      expect(await run.interrupt()).toBe(0);
      expect(aliveOf(run.local)).toEqual([]);
    });
  });
});

/** The request of the curl command that the start prints, as curl would send it. */
function printedRequest(printed: string) {
  const [, url = ''] = /^curl -i (\S+)/m.exec(printed) ?? [];
  const headers = [...printed.matchAll(/-H '([\w-]+): (.*)'/g)].map(
    ([, name = '', value = '']) => [name, value] as const,
  );
  const [, body = ''] = /-d '(.*)'$/m.exec(printed) ?? [];
  return { url, headers: Object.fromEntries(headers) as Record<string, string>, body: JSON.parse(body) as unknown };
}
