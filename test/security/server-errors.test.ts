import { createHash, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { Company } from '../support/companies.ts';
import { countEverything } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { rawBytes } from '../support/raw-request.ts';
import { type System, startSystem } from '../support/system.ts';

/** Deep enough to exhaust the stack of code that recurses, well within 1 MiB. */
const DEEP = 4_250;

const nested = (levels: number, open: string, close: string) => `${open.repeat(levels)}1${close.repeat(levels)}`;

describe('no request makes a 500', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  const problems = async (code: string) => {
    const page = await (await fetch(`${system.url}/metrics`)).text();
    return Number(new RegExp(`^http_problems_total\\{code="${code}"\\} (\\d+)`, 'm').exec(page)?.[1] ?? 0);
  };
  const internalErrors = () => problems('internal_error');

  /** As the releases before signed theirs: by a digest that anyone can compute. */
  const forgedCursor = (path: string, place: readonly string[]) => {
    const digest = createHash('sha256')
      .update(JSON.stringify([path, company.id, [], place]))
      .digest('base64url');
    return Buffer.from(JSON.stringify([digest.slice(0, 16), ...place])).toString('base64url');
  };

  test('a forged cursor', async () => {
    for (const [path, places] of [
      [
        '/api/customers',
        [['yesterday', 'x'], ['2026-02-30T00:00:00.000000Z', randomUUID()], [], ['1'], ['a', 'b', 'c']],
      ],
      ['/api/events', [['99999999999999999999'], ['one'], ['']]],
      [
        '/api/ledger/accounts',
        [
          ['now', '\0'],
          ['infinity', '1000'],
        ],
      ],
      ['/api/writes', [['2026-01-01T00:00:00.000000Z', 'a\0b']]],
    ] as const) {
      for (const place of places) {
        const answer = await company.api.get(`${path}?cursor=${forgedCursor(path, place)}`);
        expect([path, place, answer.status, answer.json.code]).toEqual([path, place, 422, 'validation_failed']);
        expect(answer.json.detail).toContain('start again without it');
      }
    }
  });

  test('a forged cursor whose parts are right: nobody but the service makes one', async () => {
    const place = ['2026-01-01T00:00:00.000000Z', randomUUID()];
    const answer = await company.api.get(`/api/customers?cursor=${forgedCursor('/api/customers', place)}`);
    expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
  });

  test('a cursor is taken by another process, and after a restart', async () => {
    for (const name of ['One', 'Two']) await company.api.created('/api/customers', { name });
    const { nextCursor } = (await company.api.get('/api/customers?limit=1')).json;
    const { url } = await system.another();
    expect((await company.as('owner', url).get(`/api/customers?limit=1&cursor=${nextCursor}`)).status).toBe(200);
  });

  test('a body that is nested too deep, on every route that takes one', async () => {
    const before = await countEverything(system.owner, company.id);
    for (const { method, path } of OPERATIONS) {
      const url = path.replace(/:\w+/g, randomUUID());
      for (const body of [
        nested(DEEP, '[', ']'),
        `{"payload":${nested(DEEP, '{"a":', '}')}}`,
        `{"name":${nested(DEEP, '[', ']')}}`,
        `{"payload":${nested(32, '[', ']')}}`,
      ]) {
        const answer = await company.api.post(url, body, { method: method as 'POST' });
        expect([path, answer.status, answer.json.code]).toEqual([path, 422, 'validation_failed']);
      }
    }
    expect(await countEverything(system.owner, company.id)).toEqual(before);
  });

  test('a body that is nested too deep, under the key of another write', async () => {
    const path = '/api/workflows/sendInvoiceReminders/trigger';
    const key = randomUUID();
    expect((await company.api.post(path, { payload: { asOf: '2026-01-31' } }, { key })).status).toBe(201);
    for (const deep of [nested(DEEP, '{"a":', '}'), nested(DEEP, '[', ']')]) {
      const answer = await company.api.post(path, `{"payload":{"asOf":${deep}}}`, { key });
      expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
    }
    // As deep as a body may be, the comparison tells where the two differ.
    const answer = await company.api.post(path, `{"payload":{"asOf":${nested(30, '[', ']')}}}`, { key });
    expect([answer.status, answer.json.code]).toEqual([422, 'idempotency_key_reused']);
  });

  test('brackets within text are no nesting', async () => {
    for (const name of ['['.repeat(100), '\\"'.repeat(40) + '{'.repeat(60), `${'\\\\'.repeat(20)}${'['.repeat(60)}`]) {
      const answer = await company.api.post('/api/customers', `{"name":"${name}"}`);
      expect([name, answer.status]).toEqual([name, 201]);
    }
  });

  test('a deep token', async () => {
    const part = Buffer.from(nested(2_500, '[', ']')).toString('base64url');
    const answer = await company.api.send('GET', '/api/me', { headers: { authorization: `Bearer ${part}.${part}.x` } });
    expect([answer.status, answer.json.code]).toEqual([401, 'unauthenticated']);
  });

  test('a path that leaves the folder of the documentation', async () => {
    for (const path of [
      '/docs/static/../../package.json',
      '/docs/static/%2e%2e/%2e%2e/package.json',
      '/docs/static/..%2f..%2fpackage.json',
      '/docs/static/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd',
      '/docs/static/..\\..\\package.json',
      '/docs/static/%00',
      '/docs/static/%',
      '/docs/static//etc/passwd',
      '/docs/static/.git/config',
    ]) {
      const answer = await rawBytes(system.url, `GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n`);
      expect([path, answer]).toEqual([path, expect.stringMatching(/^HTTP\/1\.1 4\d\d /)]);
      expect(answer).toContain('application/problem+json');
      expect(answer).not.toContain('"dependencies"');
    }
  });

  test('a malformed path, and whatever else is refused or answered below /api, is kept by no cache', async () => {
    const { token } = company.users.owner;
    const paths = [
      '/api/me',
      '/%61pi/me',
      '/api/nothing',
      '/api/customers?limit=0',
      '/api/invoices/%',
      '/api/writes/none',
    ];
    for (const path of [...paths, '/api/reports/general-ledger', '/api/company/webhook-secret']) {
      for (const authorization of [`Bearer ${token}`, 'Bearer none']) {
        const { headers } = await fetch(`${system.url}${path}`, { headers: { authorization } });
        expect([path, headers.get('cache-control')]).toEqual([path, 'no-store']);
      }
    }
    const refused = await fetch(`${system.url}/api/me`, { method: 'DELETE' });
    expect([refused.status, refused.headers.get('cache-control')]).toEqual([405, 'no-store']);
  });

  test('a body that its client aborts', async () => {
    const before = await internalErrors();
    const { hostname, port } = new URL(system.url);
    for (const abort of ['end', 'resetAndDestroy'] as const) {
      for (let sent = 0; sent < 3; sent += 1) {
        const refused = await problems('malformed_request');
        const socket = connect(Number(port), hostname);
        socket.on('error', () => undefined);
        socket.write(
          `POST /api/customers HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${company.users.owner.token}\r\n` +
            'Content-Type: application/json\r\nIdempotency-Key: aborted\r\nContent-Length: 1000\r\n\r\n{"name":',
          () => socket[abort](),
        );
        await until('it to be noticed', async () => (await problems('malformed_request')) > refused);
        socket.destroy();
      }
    }
    expect(await internalErrors()).toBe(before);
  });
});
