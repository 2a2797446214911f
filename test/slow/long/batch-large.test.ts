import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { batchClient } from '../../support/batches.ts';
import type { Company } from '../../support/companies.ts';
import { type SystemProcess, startApiProcess, startWorkerProcess } from '../../support/processes.ts';
import { type System, startSystem } from '../../support/system.ts';

const MIB = 1024 * 1024;
const SMALL = 10_000;
const LARGE = 1_000_000;
const LIMIT_MS = 3 * 60 * 60_000;
/** The rows of the larger file take several times as much where they are kept. */
const MORE_AT_MOST_BYTES = 256 * MIB;
const LOOK_EVERY_MS = 2_000;

let system: System;
let company: Company;
let api: SystemProcess;
let worker: SystemProcess;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  api = await startApiProcess(system.environment);
  worker = await startWorkerProcess(system.environment);
});
afterAll(async () => {
  await worker.terminate();
  await api.terminate();
  await system.stop();
});

test(`a file of ${LARGE} rows takes hardly more memory than one of ${SMALL}, of whoever sends, stores and writes it`, {
  timeout: LIMIT_MS,
}, async () => {
  const small = await pass('small', SMALL);
  const large = await pass('large', LARGE);
  const tell = (of: typeof small) =>
    `${of.rows} rows: stored in ${of.uploadSeconds.toFixed(1)} s, written in ${of.writingSeconds.toFixed(1)} s; ` +
    Object.entries(of.peaks)
      .map(([name, bytes]) => `${name} ${Math.round(bytes / MIB)} MiB`)
      .join(', ');
  console.log(`${tell(small)}\n${tell(large)}`);
  for (const [name, bytes] of Object.entries(large.peaks)) {
    expect(bytes - (small.peaks[name] ?? 0), `${name} has taken more`).toBeLessThan(MORE_AT_MOST_BYTES);
  }
  const ended = await batchClient({ ...system, url: api.url }, company).status('large');
  expect([ended.status, ended.json.counts]).toMatchObject([200, { cancelled: 0, pending: 0 }]);
  const { rows } = await system.owner.query<{ stored: string; made: string }>(
    `SELECT (SELECT sum(row_count) FROM batch_chunks WHERE company_id = $1) AS stored,
         (SELECT count(*) FROM customers WHERE company_id = $1) AS made`,
    [company.id],
  );
  const all = SMALL + LARGE;
  expect(rows).toEqual([{ stored: String(all), made: String(all) }]);
});

/** Sends a file from a process of its own, and waits until it is written. The peaks are those so far. */
async function pass(key: string, rows: number) {
  const sinceMs = performance.now();
  const client = await send(key, rows);
  const uploadSeconds = (performance.now() - sinceMs) / 1_000;
  expect([client.status, client.answer.rows]).toEqual([202, rows]);
  await untilWritten(key, rows);
  const writingSeconds = (performance.now() - sinceMs) / 1_000 - uploadSeconds;
  const peaks: Record<string, number> = {
    client: client.peakBytes,
    api: peakOf(api),
    worker: peakOf(worker),
  };
  return { rows, uploadSeconds, writingSeconds, peaks };
}

async function send(key: string, rows: number) {
  const script = new URL('../../support/send-file.ts', import.meta.url).pathname;
  const { token } = company.users.owner;
  const sent = ['--import', 'tsx', script, api.url, token, key, String(rows)];
  const { stdout } = await promisify(execFile)(process.execPath, sent);
  return JSON.parse(stdout) as { status: number; answer: { rows: number }; peakBytes: number };
}

async function untilWritten(key: string, rows: number): Promise<void> {
  const client = batchClient({ ...system, url: api.url }, company);
  for (;;) {
    const { json } = await client.status(key);
    if (json.state === 'completed') {
      expect(json.counts.succeeded).toBe(rows);
      return;
    }
    await sleep(LOOK_EVERY_MS);
  }
}

function peakOf({ pid }: SystemProcess): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1_024;
}
