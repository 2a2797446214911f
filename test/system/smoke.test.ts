import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPooledHttp } from '../../deploy/cli/pooled-http.ts';
import { paceWrites } from '../../deploy/load/production/pace.ts';
import { paceText } from '../../deploy/load/production/text.ts';
import { smoke } from '../../deploy/smoke/checks.ts';
import { requireOwnCompany } from '../../deploy/smoke/own-company.ts';
import { planMigration } from '../../migrations/migrate.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';
import { countEverything } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let ours: Company;
let theirs: Company;
beforeAll(async () => {
  system = await startSystem();
  ours = await system.company('Smoke tests');
  theirs = await system.company('A customer of ours');
});
afterAll(() => system.stop());

const tokenOf = (company: Company) => company.users.owner.token;
const remote = () => ({ url: system.url, token: tokenOf(ours), companyId: ours.id, otherToken: tokenOf(theirs) });

describe('the smoke test', () => {
  test('passes on a healthy system, and leaves one customer', async () => {
    const http = openPooledHttp(system.url, { connections: 2 });
    const checks = await smoke(http, remote(), 'smoke-healthy');
    await http.close();
    expect(checks.filter(({ passed }) => !passed)).toEqual([]);
    expect(checks).toHaveLength(11);
    expect(await countEverything(system.owner, ours.id)).toMatchObject({
      idempotent_writes: 1,
      customers: 1,
      journal_entries: 0,
    });
  });

  test('tells each thing that is wrong with one that writes each time anew, and says yes to anything else', async () => {
    const server = createServer(({ method, headers }, response) => {
      response.statusCode = method === 'POST' ? 201 : 200;
      response.setHeader('content-type', 'application/json');
      response.setHeader('idempotency-key', headers['idempotency-key'] ?? '');
      response.end(JSON.stringify({ id: randomUUID() }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const http = openPooledHttp(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { connections: 2 });
    const checks = await smoke(http, remote(), 'smoke-fake');
    await http.close();
    server.closeAllConnections();
    server.close();
    const failed = checks.filter(({ passed }) => !passed).map(({ what }) => what);
    expect(failed).toEqual(
      checks.map(({ what }) => what).filter((what) => !/ready|document|member|a write succeeds/.test(what)),
    );
    expect(failed).toHaveLength(7);
  });

  test('is a command that exits 1 where a check fails, and tells what it could not check', async () => {
    const environment = { API_URL: system.url, API_TOKEN: tokenOf(ours) };
    const [good, bad] = await Promise.all([
      runCommand('deploy/smoke/staging.ts', [], environment),
      runCommand('deploy/smoke/staging.ts', ['--json'], {
        ...environment,
        API_TOKEN: `${tokenOf(theirs).slice(0, -8)}tampered`,
      }),
    ]);
    expect(good).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/a write succeeds +201 +ok[\s\S]*Not checked: that another company/),
    });
    expect(bad.code).toBe(1);
    expect(JSON.parse(bad.stdout).failed).toBeGreaterThan(0);
  });
});

describe('in production', () => {
  const http = () => openPooledHttp(system.url, { connections: 1 });

  test('nothing is sent into a company that was not named, or is not there for it', async () => {
    const before = await countEverything(system.owner, theirs.id);
    const at = http();
    const asTheirs = { token: tokenOf(theirs), companyId: theirs.id };
    await expect(requireOwnCompany(at, asTheirs, ours.id)).rejects.toThrow('Nothing was sent');
    await expect(requireOwnCompany(at, asTheirs, theirs.id)).rejects.toThrow(/A customer of ours may be a customer's/);
    await requireOwnCompany(at, { token: tokenOf(ours), companyId: ours.id }, ours.id);
    await at.close();
    const environment = { API_URL: system.url, API_TOKEN: tokenOf(theirs) };
    const [smokeTheirs, unbounded] = await Promise.all([
      runCommand('deploy/smoke/production.ts', ['--company', theirs.id], environment),
      runCommand('deploy/load/production/main.ts', ['--company', theirs.id, '--seconds', '1'], environment),
    ]);
    expect(smokeTheirs).toMatchObject({ code: 1, stderr: expect.stringContaining('may be a customer') });
    expect(unbounded).toMatchObject({ code: 1, stderr: expect.stringContaining('--rate') });
    expect(await countEverything(system.owner, theirs.id)).toEqual(before);
  });

  test('the benchmark sends as many writes as it was told, each once', async () => {
    const at = http();
    const result = await paceWrites(at, {
      token: tokenOf(ours),
      seconds: 1,
      rate: 10,
      progress: { update() {}, done() {} },
    });
    await at.close();
    expect(result).toMatchObject({ sent: 10, failed: 0, answers: { '201': 10 }, latencies: { count: 10 } });
    expect(paceText(result)).toContain('201');
    const { rows } = await system.owner.query(
      "SELECT count(*)::int AS n FROM customers WHERE company_id = $1 AND name = 'Benchmark'",
      [ours.id],
    );
    expect(rows[0].n).toBe(10);
  });
});

describe('npm run migrate:production', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await cloneDatabase({ empty: true });
  });
  afterAll(() => database.drop());
  const migrateProduction = (...args: string[]) =>
    runCommand('deploy/operator/migrate-production.ts', args, { MIGRATION_DATABASE_URL: ownerUrlOf(database.owner) });
  const isMigrated = async () =>
    (await database.owner.query("SELECT to_regclass('public.schema_migrations') IS NOT NULL AS known")).rows[0].known;

  test('lists what is pending, with digests, and applies nothing until the database is named', async () => {
    const [listed, wrong] = await Promise.all([
      migrateProduction('--dry-run', '--confirm', database.name),
      migrateProduction('--confirm', 'accubooks'),
    ]);
    expect(listed).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/0 applied[\s\S]*0001_\w+\.sql +[0-9a-f]{64}[\s\S]*Nothing was applied/),
    });
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining(`the database is ${database.name}`) });
    expect(await isMigrated()).toBe(false);

    const confirmed = await migrateProduction('--confirm', database.name, '--json');
    expect(confirmed.code).toBe(0);
    const { applied, pending } = JSON.parse(confirmed.stdout);
    expect(applied).toEqual(pending.map(({ name }: { name: string }) => name));
    expect(await planMigration({ connectionString: ownerUrlOf(database.owner) })).toMatchObject({
      known: applied.length,
      pending: [],
    });
  });
});
