import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readApiConfig } from '../../api/config.ts';
import { ConfigError, readWorkerConfig } from '../../worker/config.ts';
import { type OwnServers, startOwnServers } from '../support/own-servers.ts';
import { PAYLOAD_KEYS } from '../support/payload-keys.ts';
import { startApiProcess } from '../support/processes.ts';
import { PRODUCTION } from '../support/production.ts';

const TLS = 'sslmode=verify-full&sslrootcert=/secrets/ca.pem';
const safe = {
  NODE_ENV: 'production',
  DATABASE_URL: `postgres://app:secret@db.test/accubooks?${TLS}`,
  RELAY_DATABASE_URL: `postgres://relay:secret@db.test/accubooks?${TLS}`,
  MAINTENANCE_DATABASE_URL: `postgres://maintenance:secret@db.test/accubooks?${TLS}`,
  SEALER_DATABASE_URL: `postgres://sealer:secret@db.test/accubooks?${TLS}`,
  TEMPORAL_ADDRESS: 'temporal.test:7233',
  TEMPORAL_TLS_SERVER_CA: 'a CA',
  PAYLOAD_KEYS,
  JWT_SECRET: 'a-secret-of-the-tests-that-is-long-enough',
  JWT_ISSUER: 'https://id.test',
  JWT_AUDIENCE: 'accubooks',
};

/** The names of the variables for which it is refused; none if it is taken. */
function refused(environment: NodeJS.ProcessEnv, read: (environment: NodeJS.ProcessEnv) => unknown): string[] {
  try {
    read(environment);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => problem.split(':')[0] ?? '');
  }
}
const ofApi = (change: NodeJS.ProcessEnv) => refused({ ...safe, ...change }, readApiConfig);
const ofWorker = (change: NodeJS.ProcessEnv) => refused({ ...safe, ...change }, readWorkerConfig);

describe('in production nothing is sent in the open', () => {
  test('and what is verified, or does not leave the machine, is taken', () => {
    expect([ofApi({}), ofWorker({})]).toEqual([[], []]);
    for (const url of [
      'postgres://app@%2Fvar%2Frun%2Fpostgresql/accubooks',
      'postgres://app@/accubooks?host=/var/run/postgresql',
      `postgres://app@db.test/accubooks?uselibpqcompat=true&${TLS}`,
    ]) {
      expect([url, ofApi({ DATABASE_URL: url })]).toEqual([url, []]);
    }
    const sidecars = {
      DATABASE_URL: 'postgres://app@127.0.0.1:6432/accubooks',
      TEMPORAL_ADDRESS: 'localhost:7233',
      TEMPORAL_TLS_SERVER_CA: '',
      PLAINTEXT_HOSTS: '127.0.0.1,localhost',
    };
    expect(ofApi(sidecars)).toEqual([]);
    expect(ofApi({ ...sidecars, PLAINTEXT_HOSTS: '127.0.0.1:6432' })).toContain('PLAINTEXT_HOSTS');
  });

  test.each([
    'postgres://app@db.test/accubooks',
    'postgres://app@127.0.0.1/accubooks',
    'postgres:///accubooks',
    'postgres://app@db.test/accubooks?sslmode=disable',
    'postgres://app@db.test/accubooks?sslmode=prefer',
    'postgres://app@db.test/accubooks?sslmode=require',
    'postgres://app@db.test/accubooks?sslmode=verify-ca',
    'postgres://app@db.test/accubooks?sslmode=no-verify',
    'postgres://app@db.test/accubooks?ssl=true',
    'postgres://app@db.test/accubooks?sslmode=verify-full&sslmode=disable',
    'postgres://app@db.test/accubooks?sslmode=verify-full&ssl=0',
    'postgres://app@%2Fvar%2Frun/accubooks?host=db.test',
    'postgres://app@db.test/accubooks?host=/var/run&host=db.test',
    'postgres://trusted@db.test/accubooks?application_name=trusted',
  ])('not by %s', (url) => {
    const trusted = { PLAINTEXT_HOSTS: 'trusted' };
    expect(ofApi({ ...trusted, DATABASE_URL: url })).toEqual(['DATABASE_URL']);
    for (const name of ['DATABASE_URL', 'RELAY_DATABASE_URL', 'MAINTENANCE_DATABASE_URL', 'SEALER_DATABASE_URL']) {
      expect(ofWorker({ ...trusted, [name]: url })).toEqual([name]);
    }
  });

  test('not to Temporal, whose certificate would be anyone’s', () => {
    const plain = { TEMPORAL_TLS_SERVER_CA: '' };
    expect([ofApi(plain), ofWorker(plain)]).toEqual([['TEMPORAL_ADDRESS'], ['TEMPORAL_ADDRESS']]);
    expect(ofApi({ ...plain, TEMPORAL_API_KEY: 'a key' })).toEqual([]);
  });
});

describe('in production', () => {
  test('the owner’s login is refused, whatever ALLOW_OWNER_LOGIN says', () => {
    const allowed = { ALLOW_OWNER_LOGIN: '1' };
    expect([ofApi(allowed), ofWorker(allowed)]).toEqual([['ALLOW_OWNER_LOGIN'], ['ALLOW_OWNER_LOGIN']]);
  });

  test('tokens are for us and from one issuer, also those that are signed with a secret', () => {
    expect(ofApi({ JWT_ISSUER: '' })).toEqual(['JWT_ISSUER']);
    expect(ofApi({ JWT_AUDIENCE: '' })).toEqual(['JWT_AUDIENCE']);
    expect(ofApi({ NODE_ENV: '', JWT_ISSUER: '', JWT_AUDIENCE: '' })).toEqual([]);
  });
});

describe('a server that offers no encryption', () => {
  let servers: OwnServers;
  beforeAll(async () => {
    servers = await startOwnServers();
  });
  afterAll(() => servers?.stop());

  test('is not spoken to in the open instead', async () => {
    const url = new URL(servers.environment['DATABASE_URL'] as string);
    url.searchParams.set('sslmode', 'verify-full');
    const api = startApiProcess({ ...servers.environment, ...PRODUCTION, DATABASE_URL: url.href });
    await expect(api).rejects.toThrow(/ended with 1: .*does not support SSL/);
  });
});
