import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fileKeyStore } from '../../deploy/client/src/node.ts';
import { type System, startSystem } from '../support/system.ts';

const SCRIPT = fileURLToPath(new URL('../support/pay-until-killed.ts', import.meta.url));
/** How many outcomes each run learns before it is killed; the last run only finishes what was begun. */
const KILLED_AFTER = [1, 40, 3, 60];
const ENDLESS = 1_000_000;
/** As in the script. */
const AT_ONCE = 24;

let system: System;
let folder: string;
const children: ChildProcess[] = [];
beforeAll(async () => {
  system = await startSystem({ environment: { RATE_LIMIT_PER_SECOND: '100000', RATE_LIMIT_BURST: '100000' } });
  folder = mkdtempSync(join(tmpdir(), 'nightly-'));
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await system.stop();
  rmSync(folder, { recursive: true });
});

describe('a program that keeps its writes in a file', () => {
  test('may be killed at any moment: what it has begun happens once, and it learns the outcome of all that it had not', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice({ total: 10_000_000 });
    const [tokenPath, keyPath] = [join(folder, 'token'), join(folder, 'keys.jsonl')];
    writeFileSync(tokenPath, `${company.users.owner.token}\n`);

    const learnt: string[] = [];
    const unfinished: string[] = [];
    const run = async (payments: number, killedAfter?: number) => {
      const parameters = [system.url, tokenPath, keyPath, invoiceId, String(payments)];
      const child = spawn(process.execPath, ['--import', 'tsx', SCRIPT, ...parameters], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.push(child);
      const ended = once(child, 'exit');
      let outcomes = 0;
      for await (const key of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
        learnt.push(key);
        outcomes += 1;
        if (outcomes === killedAfter) child.kill('SIGKILL');
      }
      return (await ended) as [code: number | null, signal: string | null];
    };
    for (const killedAfter of KILLED_AFTER) {
      expect(await run(ENDLESS, killedAfter)).toEqual([null, 'SIGKILL']);
      const store = fileKeyStore(keyPath);
      unfinished.push(...store.pending().map(({ idempotencyKey }) => idempotencyKey));
      await store.close();
    }
    expect(await run(0)).toEqual([0, null]);

    const store = fileKeyStore(keyPath);
    expect(store.pending()).toEqual([]);
    await store.close();
    // Otherwise nothing was tried.
    expect(unfinished.length).toBeGreaterThan(0);
    const { rows } = await system.owner.query(
      `SELECT w.idempotency_key AS key, count(p.id)::int AS payments FROM idempotent_writes w
       LEFT JOIN payments p ON p.company_id = w.company_id AND p.id = w.write_id
       WHERE w.company_id = $1 AND w.operation = 'createPayment' GROUP BY 1`,
      [company.id],
    );
    const made = new Set(rows.map(({ key }) => key));
    expect(rows.filter(({ payments }) => payments !== 1)).toEqual([]);
    expect([...learnt, ...unfinished].filter((key) => !made.has(key))).toEqual([]);
    expect(unfinished.filter((key) => !learnt.includes(key))).toEqual([]);
    // What was settled is not sent again, even if the run was killed before it could tell.
    expect(made.size - new Set(learnt).size).toBeLessThanOrEqual(KILLED_AFTER.length * AT_ONCE);
    expect((await company.api.get(`/api/invoices/${invoiceId}`)).json.amountPaid).toBe(made.size);
  });
});
