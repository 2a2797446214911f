import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { readApiConfig } from '../../api/config.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { startApiProcess, startWorkerProcess } from '../support/processes.ts';
import { type System, startSystem } from '../support/system.ts';

const SECRET = 'a-secret-that-must-never-be-printed-0123456789';
const good = {
  DATABASE_URL: 'postgres://app:hidden-password@db.test/accubooks',
  TEMPORAL_ADDRESS: 'temporal.test:7233',
  JWT_SECRET: SECRET,
};

function complaint(
  environment: NodeJS.ProcessEnv,
  read: (environment: NodeJS.ProcessEnv) => unknown = readApiConfig,
): string {
  try {
    read(environment);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error('This configuration was taken');
}
const badKeys = (message: string) => [...message.matchAll(/^ {2}(\w+):/gm)].map(([, key = '']) => key).toSorted();

describe('the configuration', () => {
  test('has the documented defaults', () => {
    expect(readApiConfig(good)).toMatchObject({
      PORT: 3000,
      HOST: '127.0.0.1',
      TEMPORAL_NAMESPACE: 'default',
      RATE_LIMIT_PER_SECOND: 500,
      RATE_LIMIT_BURST: 2000,
      REPLAY_RATE_LIMIT_PER_SECOND: 10_000,
      FAILED_SIGN_INS_PER_MINUTE: 300,
      TRUSTED_PROXY_HOPS: 0,
      MAX_IN_FLIGHT_WRITES: 2000,
      STATEMENT_TIMEOUT_MS: 10_000,
      ALLOW_OWNER_LOGIN: '0',
    });
  });

  test('an empty variable counts as not set', () => {
    expect(readApiConfig({ ...good, PORT: '', JWT_ISSUER: '' })).toMatchObject({ PORT: 3000 });
    expect(badKeys(complaint({ ...good, DATABASE_URL: '' }))).toEqual(['DATABASE_URL']);
  });

  test('every bad key is told at once, those that are missing and those that contradict each other too', () => {
    expect(badKeys(complaint({}))).toEqual(['DATABASE_URL', 'JWT_SECRET', 'TEMPORAL_ADDRESS']);
    const bad = {
      DATABASE_URL: 'mysql://db',
      TEMPORAL_ADDRESS: 'temporal',
      PORT: '65536',
      LOG_LEVEL: 'loud',
      RATE_LIMIT_PER_SECOND: '0',
      RATE_LIMIT_BURST: '1.5',
      REPLAY_RATE_LIMIT_PER_SECOND: '-1',
      FAILED_SIGN_INS_PER_MINUTE: '0',
      TRUSTED_PROXY_HOPS: '-1',
      MAX_IN_FLIGHT_WRITES: 'many',
      STATEMENT_TIMEOUT_MS: '1e4',
      DATABASE_POOL_MAX: ' 4',
      ALLOW_OWNER_LOGIN: 'yes',
      METRICS_TOKEN: 'short',
      TEMPORAL_UI_URL: 'javascript:alert(1)',
      JWT_JWKS_URL: 'http://id.test/jwks',
    };
    expect(badKeys(complaint(bad))).toEqual([...Object.keys(bad), 'JWT_AUDIENCE', 'JWT_ISSUER'].toSorted());
    expect(badKeys(complaint({ ...good, DATABASE_URL: 'x', METRICS_PORT: 'x' }, readWorkerConfig))).toEqual([
      'DATABASE_URL',
      'METRICS_PORT',
    ]);
  });

  test('exactly one of JWT_SECRET and JWT_JWKS_URL, the latter with issuer and audience', () => {
    const { JWT_SECRET: _secret, ...rest } = good;
    const keySet = {
      ...rest,
      JWT_JWKS_URL: 'https://id.test/jwks',
      JWT_ISSUER: 'https://id.test',
      JWT_AUDIENCE: 'accubooks',
    };
    expect(readApiConfig(keySet).JWT_JWKS_URL).toBe('https://id.test/jwks');
    expect(badKeys(complaint(rest))).toEqual(['JWT_SECRET']);
    expect(badKeys(complaint({ ...keySet, JWT_SECRET: SECRET }))).toEqual(['JWT_SECRET']);
    expect(badKeys(complaint({ ...keySet, JWT_ISSUER: undefined, JWT_AUDIENCE: '' }))).toEqual([
      'JWT_AUDIENCE',
      'JWT_ISSUER',
    ]);
  });

  test('a secret is long enough, and none that stands in our documentation', () => {
    expect(badKeys(complaint({ ...good, JWT_SECRET: 'x'.repeat(31) }))).toEqual(['JWT_SECRET']);
    expect(readApiConfig({ ...good, JWT_SECRET: '\u00e9'.repeat(16) })).toBeDefined();
    expect(complaint({ ...good, JWT_SECRET: 'replace-this-with-32-random-bytes-of-your-own' })).toContain(
      'documentation',
    );
  });

  test('a release is named wholly or not at all', () => {
    const [name, build] = [{ WORKER_DEPLOYMENT_NAME: 'accubooks' }, { WORKER_BUILD_ID: '1.0.0-rc.1' }];
    expect(readApiConfig({ ...good, ...name, ...build })).toMatchObject({ ...name, ...build });
    for (const read of [readApiConfig, readWorkerConfig]) {
      expect(badKeys(complaint({ ...good, ...name }, read))).toEqual(['WORKER_BUILD_ID']);
      expect(badKeys(complaint({ ...good, ...build }, read))).toEqual(['WORKER_DEPLOYMENT_NAME']);
      expect(badKeys(complaint({ ...good, ...name, WORKER_BUILD_ID: 'a:b' }, read))).toEqual(['WORKER_BUILD_ID']);
    }
  });

  test('a complaint never shows a value', () => {
    const message = complaint({
      ...good,
      DATABASE_URL: 'hidden-password',
      JWT_SECRET: SECRET.slice(0, 20),
      TEMPORAL_API_KEY: 'hidden-key',
      METRICS_TOKEN: 'hidden-token',
      PORT: 'hidden-port',
    });
    expect(message).not.toMatch(/hidden|a-secret/);
  });

  test('a secret may stand in a file, which is named by NAME_FILE', () => {
    const folder = mkdtempSync(join(tmpdir(), 'accubooks-secrets-'));
    try {
      const file = join(folder, 'secret');
      writeFileSync(file, `${SECRET}\n`);
      const { JWT_SECRET: _secret, ...rest } = good;
      expect(readApiConfig({ ...rest, JWT_SECRET_FILE: file }).JWT_SECRET).toBe(SECRET);
      expect(badKeys(complaint({ ...good, JWT_SECRET_FILE: file }))).toEqual(['JWT_SECRET']);
      const missing = complaint({ ...rest, PORT: 'x', JWT_SECRET_FILE: join(folder, 'missing') });
      expect(badKeys(missing)).toEqual(['JWT_SECRET', 'JWT_SECRET_FILE', 'PORT']);
      writeFileSync(file, '\n');
      expect(badKeys(complaint({ ...rest, JWT_SECRET_FILE: file }))).toEqual(['JWT_SECRET']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('a process', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system.stop());

  const withLogin = (url: string) => {
    const changed = new URL(url);
    changed.pathname = new URL(system.environment['DATABASE_URL'] ?? '').pathname;
    return { ...system.environment, DATABASE_URL: changed.href };
  };

  test('ends at once, with an exit code, on a bad configuration, and lists every bad key', async () => {
    const bad = { ...system.environment, PORT: 'x', JWT_SECRET: 'hidden', TEMPORAL_ADDRESS: 'nowhere' };
    const api = startApiProcess(bad);
    await expect(api).rejects.toThrow(/ended with 1: The configuration cannot be used:/);
    const message = await api.catch((error: Error) => error.message);
    expect(badKeys(message as string)).toEqual(['JWT_SECRET', 'PORT', 'TEMPORAL_ADDRESS']);
    expect(message).not.toMatch(/hidden|\bat .*\.ts/);
    await expect(startWorkerProcess({ ...bad, DATABASE_URL: '' })).rejects.toThrow(/DATABASE_URL: must be set/);
  });

  test('refuses a login that could get round what keeps tenants apart', async () => {
    const superuser = startApiProcess(withLogin(inject('superuserUrl')));
    await expect(superuser).rejects.toThrow(/ended with 1: .*is a superuser, bypasses row-level security/);
    const owner = startWorkerProcess(withLogin(inject('ownerUrl')));
    await expect(owner).rejects.toThrow(/ended with 1: .*owns tables/);
  });

  test('takes the owner’s login where that is allowed explicitly, and still sees one company only', async () => {
    const company = await system.company();
    await company.api.created('/api/customers', { name: 'Seen' }, { key: 'owner-login' });
    const api = await startApiProcess({ ...withLogin(inject('ownerUrl')), ALLOW_OWNER_LOGIN: '1' });
    try {
      const replay = await company
        .as('owner', api.url)
        .post('/api/customers', { name: 'Seen' }, { key: 'owner-login' });
      expect([replay.status, replay.replayed]).toEqual([201, true]);
      const other = await system.company();
      const fresh = await other.as('owner', api.url).post('/api/customers', { name: 'Seen' }, { key: 'owner-login' });
      expect([fresh.status, fresh.replayed]).toEqual([201, false]);
    } finally {
      expect(await api.terminate()).toBe(0);
    }
  });
});
