import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chaosText } from '../../../deploy/chaos/report.ts';
import { runScenario } from '../../../deploy/chaos/run.ts';
import { SCENARIOS } from '../../../deploy/chaos/scenario-list.ts';
import { stateOf } from '../../../deploy/local/processes.ts';
import { ownerUrlOf, runCommand, startCommand } from '../../support/commands.ts';
import { until } from '../../support/held-invoice.ts';
import { type SystemProcess, startWorkerProcess } from '../../support/processes.ts';
import { type System, startSystem } from '../../support/system.ts';

const SCRIPT = 'deploy/chaos/main.ts';
const MINUTES = '0.2';
const COMPANIES = 4;
const INVENTED_ID = randomUUID();
const SILENT = { update() {}, done() {} };

const folder = mkdtempSync(join(tmpdir(), 'accubooks-chaos-'));
let system: System;
let worker: SystemProcess;
beforeAll(async () => {
  system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
  // The relay is its part.
  worker = await startWorkerProcess(system.environment);
});
afterAll(async () => {
  await worker.kill();
  await system.stop();
  rmSync(folder, { recursive: true });
});

describe('npm run test:chaos', () => {
  const names = SCENARIOS.filter(({ name, needs }) => !needs.includes('local') && name !== 'multi-tenant-storm').map(
    ({ name }) => name,
  );
  test.each(names)('%s: no violation, and trouble that was really made', async (name) => {
    const { code, stdout } = await chaos(['--scenario', name, '--json']);
    const [end] = JSON.parse(stdout).scenarios;
    expect(end).toMatchObject({ scenario: name, violations: [], notRun: null, duplicates: 0, lost: 0, unequal: 0 });
    expect(end.answered).toBe(end.sent);
    expect(end.writes).toBeGreaterThan(10);
    expect(code).toBe(0);
  });

  test('exits 1 where a write is made twice', async () => {
    const { companies, undo } = await makingPaymentsTwice();
    const { code, stdout } = await chaos(['--scenario', 'client-time-out'], { companies });
    await undo();
    expect(stdout).toMatch(/VIOLATED: \d+ duplicates/);
    expect(code).toBe(1);
  });

  test('exits 1 where a key that was acknowledged is lost', async () => {
    let invented: string | undefined;
    // One key of one company: as a service would that answers before its COMMIT, and remembers only its answer.
    const liar = await before(system.url, ({ headers }, response) => {
      const key = String(headers['idempotency-key']);
      if (!/chaos-\w+:\d+:\d+/.test(key)) return false;
      invented ??= key + headers.authorization;
      if (invented !== key + headers.authorization) return false;
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ id: INVENTED_ID }));
      return true;
    });
    const { code, stdout } = await chaos(['--scenario', 'deadlock', '--json'], { url: liar.url });
    await liar.close();
    const [end] = JSON.parse(stdout).scenarios;
    expect(end.violations).toEqual(expect.arrayContaining(['1 lost', '1 acknowledged but missing']));
    expect(code).toBe(1);
  });

  test('kills nothing elsewhere: what cannot run is told, and refused where it was asked for by name', async () => {
    const { code, stderr } = await chaos(['--scenario', 'kill-postgres', 'key-collision']);
    expect(stderr).toContain('kill-postgres cannot run: it needs the local system');
    expect(code).toBe(1);
    const killing = SCENARIOS.find(({ name }) => name === 'kill-postgres');
    if (killing === undefined) throw new Error('There is no kill-postgres');
    const options = { url: system.url, minutes: 1, seed: 'a' };
    const end = await runScenario(killing, options, SILENT, new AbortController().signal);
    expect(chaosText([end])).toMatch(/kill-postgres +not run\n[\s\S]*kill-postgres: not run: needs the local system/);
    const dataDir = mkdtempSync(join(folder, 'local-'));
    const local = { ...localJson(process.pid), apiUrl: 'http://127.0.0.1:1' };
    writeFileSync(join(dataDir, 'local.json'), JSON.stringify(local));
    const args = ['--scenario', 'partial-workflow', ...(await where({}))];
    const besideLocal = await runCommand(SCRIPT, args, { DATA_DIR: dataDir });
    expect(besideLocal).toMatchObject({ code: 1, stderr: expect.stringContaining('it needs the address of Temporal') });
    const storm = await chaos(['--scenario', 'multi-tenant-storm']);
    expect(storm).toMatchObject({ code: 1, stderr: expect.stringContaining('it needs 100 companies') });
  });

  test('at Ctrl-C lets a frozen process go on', async () => {
    const victim = spawn('sleep', ['600']);
    try {
      const dataDir = mkdtempSync(join(folder, 'local-'));
      writeFileSync(join(dataDir, 'local.json'), JSON.stringify(localJson(victim.pid)));
      const args = ['--scenario', 'freeze-api', ...(await where({}))];
      const running = startCommand(SCRIPT, args, { ...environment(), DATA_DIR: dataDir });
      await until('the process to be frozen', async () => stateOf(victim.pid ?? 0) === 'T');
      running.kill('SIGINT');
      const [code] = await once(running, 'exit');
      expect(code).toBe(130);
      expect(stateOf(victim.pid ?? 0)).toBe('S');
    } finally {
      victim.kill('SIGKILL');
    }
  });
});

type Where = { readonly url?: string; readonly companies?: readonly string[] };

async function chaos(args: readonly string[], at: Where = {}) {
  return runCommand(SCRIPT, ['--minutes', MINUTES, ...args, ...(await where(at))], environment());
}

/** A system that is not the local one, with companies of its own. */
async function where({ url = system.url, companies }: Where): Promise<string[]> {
  const lines = companies ?? (await newCompanies());
  const file = join(folder, `${randomUUID()}.jsonl`);
  writeFileSync(file, lines.join('\n'));
  return ['--url', url, '--database-url', ownerUrlOf(system.owner), '--tenants-file', file];
}

function environment(): Record<string, string> {
  const { TEMPORAL_ADDRESS = '', TEMPORAL_TASK_QUEUE = '' } = system.environment;
  return { TEMPORAL_ADDRESS, TEMPORAL_TASK_QUEUE };
}

async function newCompanies(): Promise<string[]> {
  const companies = await Promise.all(Array.from({ length: COMPANIES }, () => system.company('Chaos')));
  return companies.map(({ id, users }) => JSON.stringify({ companyId: id, token: users.owner.token }));
}

/** In new companies each payment is followed by another one, without a write. */
async function makingPaymentsTwice() {
  const companies = await newCompanies();
  const ids = companies.map((line) => `'${(JSON.parse(line) as { companyId: string }).companyId}'`);
  await system.owner.query(`
    CREATE FUNCTION pay_twice() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, bank_account_id,
        journal_entry_id, number)
      SELECT NEW.company_id, gen_random_uuid(), NEW.invoice_id, NEW.amount_minor, NEW.currency, NEW.method, NEW.received_on,
        NEW.bank_account_id, NEW.journal_entry_id, NEW.number + 1000000;
      RETURN NULL;
    END $$;
    CREATE TRIGGER pay_twice AFTER INSERT ON payments FOR EACH ROW
    WHEN (pg_trigger_depth() = 0 AND NEW.company_id IN (${ids.join(', ')})) EXECUTE FUNCTION pay_twice()`);
  const undo = () => system.owner.query('DROP TRIGGER pay_twice ON payments; DROP FUNCTION pay_twice()');
  return { companies, undo };
}

/** A server that answers in the place of another what `answers` says, and hands everything else on. */
async function before(url: string, answers: (request: IncomingMessage, response: ServerResponse) => boolean) {
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (answers(request, response)) return;
      void handOn(url, request, Buffer.concat(chunks).toString(), response);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const HANDED_ON = ['authorization', 'idempotency-key', 'content-type', 'prefer'];
const HANDED_BACK = ['content-type', 'idempotent-replayed', 'location', 'retry-after'];

async function handOn(url: string, request: IncomingMessage, body: string, response: ServerResponse): Promise<void> {
  const headers = HANDED_ON.flatMap((name): [string, string][] => {
    const value = request.headers[name];
    return typeof value === 'string' ? [[name, value]] : [];
  });
  const { method = 'GET' } = request;
  const answer = await fetch(url + (request.url ?? ''), { method, headers, ...(body === '' ? {} : { body }) });
  for (const name of HANDED_BACK) {
    const value = answer.headers.get(name);
    if (value !== null) response.setHeader(name, value);
  }
  response.writeHead(answer.status).end(await answer.text());
}

/** A local system whose API is said to be that process. */
function localJson(apiPid: number | undefined) {
  const pid = process.pid;
  return {
    apiUrl: system.url,
    databaseUrl: ownerUrlOf(system.owner),
    appDatabaseUrl: ownerUrlOf(system.owner),
    maintenanceDatabaseUrl: ownerUrlOf(system.owner),
    auditorDatabaseUrl: ownerUrlOf(system.owner),
    temporalAddress: system.environment['TEMPORAL_ADDRESS'],
    temporalNamespace: 'default',
    temporalUiUrl: null,
    metricsUrls: { api: `${system.url}/metrics`, worker: `${system.url}/metrics` },
    pids: { launcher: pid, api: apiPid, worker: pid, postgres: pid, temporal: pid },
    token: '',
    operatorToken: '',
  };
}
