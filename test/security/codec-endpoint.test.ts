import { randomUUID } from 'node:crypto';
import type { Payload } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workflowIdOf } from '../../activities/identity.ts';
import { readApiConfig } from '../../api/config.ts';
import type { Company } from '../support/companies.ts';
import { rawBytes } from '../support/raw-request.ts';
import { rawHistory } from '../support/raw-temporal.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

const UI = 'http://127.0.0.1:8233';
/** What the Temporal UI adds to the path. */
const AS_THE_UI = 'preserveStorageRefs=true';
const OPERATORS = { OPERATOR_AUDIENCE: 'accubooks-operators', JWT_AUDIENCE: 'accubooks', TEMPORAL_UI_URL: UI };
const key = randomUUID();
let system: System;
let company: Company;
let sealed: object;

beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  await company.api.created('/api/customers', { name: 'Zaphod Beeblebrox', currency: 'USD' }, { key });
  const { events } = await rawHistory(system.temporal, workflowIdOf(company.id, key));
  sealed = asSent(events[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0] ?? {});
});
afterAll(() => system.stop());

/** As the Temporal UI sends a payload. */
function asSent({ metadata, data }: Payload): object {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
  return {
    metadata: Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, base64(value)])),
    data: base64(data ?? new Uint8Array()),
  };
}

async function decode(url: string, headers: Readonly<Record<string, string>> = {}) {
  const answer = await fetch(`${url}/codec/decode?${AS_THE_UI}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-namespace': 'default', ...headers },
    body: JSON.stringify({ payloads: [sealed] }),
  });
  const text = await answer.text();
  const data = answer.status === 200 ? JSON.parse(text).payloads[0].data : '';
  return { status: answer.status, headers: answer.headers, shown: Buffer.from(data, 'base64').toString() };
}

describe('with tokens of operators', () => {
  let url: string;
  let operator: string;
  let member: string;
  beforeAll(async () => {
    ({ url } = await system.another({ environment: OPERATORS }));
    const { owner } = company.users;
    operator = await signToken(
      { userId: 'an-operator', companyId: '' },
      { claims: { aud: OPERATORS.OPERATOR_AUDIENCE, company_id: undefined } },
    );
    member = await signToken({ userId: owner.id, companyId: company.id }, { claims: { aud: OPERATORS.JWT_AUDIENCE } });
  });

  test('an operator sees what Temporal keeps, in the page of the UI, and the security log says so', async () => {
    const preflight = await fetch(`${url}/codec/decode?${AS_THE_UI}`, {
      method: 'OPTIONS',
      headers: { origin: UI, 'access-control-request-method': 'POST' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe(UI);
    expect(preflight.headers.get('access-control-allow-headers')).toContain('authorization');
    const answer = await decode(url, { authorization: `Bearer ${operator}`, origin: UI });
    expect(answer).toMatchObject({ status: 200, shown: expect.stringContaining('Zaphod Beeblebrox') });
    expect(answer.headers.get('access-control-allow-origin')).toBe(UI);
    await expect
      .poll(
        async () =>
          (await system.owner.query(`SELECT reason, subject FROM security_log WHERE subject = 'an-operator'`)).rows,
        { timeout: 60_000 },
      )
      .toEqual([{ reason: 'payloads_decrypted', subject: 'an-operator' }]);
  });

  test('a page of another origin may not read the answer', async () => {
    const answer = await decode(url, { authorization: `Bearer ${operator}`, origin: 'https://evil.example' });
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('a member of a company, the owner too, sees nothing; nor does anyone without a token', async () => {
    for (const headers of [{ authorization: `Bearer ${member}` }, { origin: UI }, {}]) {
      expect(await decode(url, headers as Record<string, string>)).toMatchObject({ status: 401, shown: '' });
    }
  });

  test('nor do they see the health of the system, or any write by the routes of operators', async () => {
    const routes = [
      'now',
      'live',
      'companies',
      `companies/${company.id}/writes`,
      `companies/${company.id}/writes/${key}`,
    ];
    for (const route of routes) {
      for (const headers of [{ authorization: `Bearer ${member}` }, { origin: UI }, {}] as Record<string, string>[]) {
        const answer = await fetch(`${url}/operator/${route}`, { headers });
        expect([route, answer.status, ((await answer.json()) as { code: string }).code]).toEqual([
          route,
          401,
          'unauthenticated',
        ]);
      }
      // Without an audience of operators nobody is one.
      const answer = await fetch(`${system.url}/operator/${route}`, {
        headers: { authorization: `Bearer ${operator}` },
      });
      expect([route, answer.status]).toEqual([route, 401]);
    }
  });

  test('an operator’s token opens no route of a company', async () => {
    const both = await signToken(
      { userId: company.users.owner.id, companyId: company.id },
      { claims: { aud: [OPERATORS.OPERATOR_AUDIENCE, OPERATORS.JWT_AUDIENCE] } },
    );
    for (const token of [operator, both]) {
      const answer = await fetch(`${url}/api/customers`, { headers: { authorization: `Bearer ${token}` } });
      expect(answer.status).toBe(401);
    }
    const answer = await fetch(`${url}/api/customers`, { headers: { authorization: `Bearer ${member}` } });
    expect(answer.status).toBe(200);
  });

  test('where the UI of this machine may ask without a token, a token that is none still opens nothing', async () => {
    const local = await system.another({ environment: { ...OPERATORS, CODEC_WITHOUT_TOKEN: '1' } });
    expect(await decode(local.url, { origin: UI })).toMatchObject({ status: 200 });
    expect(await decode(local.url, { authorization: `Bearer ${operator}` })).toMatchObject({ status: 200 });
    expect(await decode(local.url, { origin: UI, authorization: `Bearer ${member}` })).toMatchObject({ status: 401 });
    expect(await decode(local.url)).toMatchObject({ status: 403, shown: '' });
    const answer = await fetch(`${local.url}/operator/now`, { headers: { origin: UI } });
    expect(answer.status).toBe(401);
  });
});

describe('without tokens, on one machine', () => {
  test('the Temporal UI sees it, a page of another origin or host does not', async () => {
    const { url } = await system.another({ environment: { CODEC_WITHOUT_TOKEN: '1', TEMPORAL_UI_URL: UI } });
    expect(await decode(url, { origin: UI })).toMatchObject({ status: 200, shown: expect.stringContaining('Zaphod') });
    for (const headers of [{}, { origin: 'https://evil.example' }, { origin: 'null' }]) {
      expect(await decode(url, headers as Record<string, string>)).toMatchObject({ status: 403, shown: '' });
    }
    const body = JSON.stringify({ payloads: [sealed] });
    const rebound = await rawBytes(
      url,
      `POST /codec/decode HTTP/1.1\r\nHost: rebound.example\r\nOrigin: ${UI}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
    expect(rebound).toMatch(/^HTTP\/1\.1 403 /);
  });

  test('nothing is served unless it is asked for', async () => {
    expect(await decode(system.url, { origin: UI })).toMatchObject({ status: 404 });
  });

  test('nor in production, nor where others reach the API', () => {
    const config = { ...system.environment, CODEC_WITHOUT_TOKEN: '1', TEMPORAL_UI_URL: UI };
    expect(() => readApiConfig({ ...config, NODE_ENV: 'production' })).toThrow('CODEC_WITHOUT_TOKEN: is for local use');
    expect(() => readApiConfig({ ...config, HOST: '0.0.0.0' })).toThrow('CODEC_WITHOUT_TOKEN: requires a HOST');
    expect(() => readApiConfig({ ...system.environment, JWT_AUDIENCE: 'a', OPERATOR_AUDIENCE: 'a' })).toThrow(
      'OPERATOR_AUDIENCE: must differ',
    );
  });
});
