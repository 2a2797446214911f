import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { countEverything } from '../support/effects.ts';
import { rawRequest } from '../support/raw-request.ts';
import { type System, startSystem } from '../support/system.ts';

describe('of several faults, the first in the published order is answered', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    await company.api.created('/api/customers', { name: 'There already' }, { key: 'taken' });
  });
  afterAll(() => system.stop());

  const TOO_LARGE = 'x'.repeat(1024 * 1024 + 1);
  const bearer = (role: 'owner' | 'auditor') => ['authorization', `Bearer ${company.users[role].token}`] as const;
  const json = ['content-type', 'application/json'] as const;

  /** Each step mends one fault of the step before, and leaves all later ones. */
  test('401, 415, 413, 400, 422, 403, 422, and nothing is stored on the way', async () => {
    const steps: readonly [string, readonly (readonly [string, string])[], string][] = [
      ['401 unauthenticated', [['content-type', 'text/plain']], TOO_LARGE],
      ['415 unsupported_media_type', [bearer('auditor'), ['content-type', 'text/plain']], TOO_LARGE],
      ['413 body_too_large', [bearer('auditor'), json], TOO_LARGE],
      ['400 malformed_json', [bearer('auditor'), json], '{'],
      ['400 idempotency_key_missing', [bearer('auditor'), json], '{}'],
      ['400 idempotency_key_invalid', [bearer('auditor'), json, ['idempotency-key', '"']], '{}'],
      ['422 validation_failed', [bearer('auditor'), json, ['idempotency-key', 'taken']], '{}'],
      ['403 forbidden', [bearer('auditor'), json, ['idempotency-key', 'taken']], '{"name":"Another"}'],
    ];
    const before = await countEverything(system.owner, company.id);
    for (const [expected, headers, body] of steps) {
      const answer = await rawRequest(`${system.url}/api/customers`, { method: 'POST', headers, body });
      expect(`${answer.status} ${answer.json.code}`).toBe(expected);
      expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
      expect(answer.json).toMatchObject({
        type: `/docs/errors#${answer.json.code}`,
        status: answer.status,
        instance: '/api/customers',
        retryable: false,
        nextAction: 'fix_request',
        requestId: answer.headers.get('x-request-id'),
      });
    }
    expect(await countEverything(system.owner, company.id)).toEqual(before);
    const mended = await company.api.post('/api/customers', { name: 'Another' }, { key: 'taken' });
    expect(mended.json.code).toBe('idempotency_key_reused');
  });

  test('what was refused before it began leaves its key free: the mended request is a first one', async () => {
    const send = (headers: Record<string, string>, body: string) =>
      company.api.send('POST', '/api/customers', { headers: { 'idempotency-key': 'free', ...headers }, body });
    const good = JSON.stringify({ name: 'Mended' });
    const type = { 'content-type': 'application/json' };
    expect((await send({ ...type, authorization: 'Bearer no' }, good)).status).toBe(401);
    expect((await send({ 'content-type': 'text/plain' }, good)).status).toBe(415);
    expect((await send(type, good.padEnd(1024 * 1024 + 1))).status).toBe(413);
    expect((await send(type, `${good}}`)).status).toBe(400);
    expect((await send(type, '{"name":""}')).status).toBe(422);
    expect((await send({ ...type, authorization: `Bearer ${company.users.user.token}` }, good)).status).toBe(403);
    const nowhere = await company.api.post('/api/customer', { name: 'Mended' }, { key: 'free' });
    expect([nowhere.status, nowhere.json.code]).toEqual([404, 'route_not_found']);
    const first = await send(type, good);
    expect([first.status, first.replayed]).toEqual([201, false]);
  });
});
