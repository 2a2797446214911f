import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { countEverything } from '../support/effects.ts';
import { rawBytes, rawRequest } from '../support/raw-request.ts';
import { type System, startSystem } from '../support/system.ts';

const MIB = 1024 * 1024;

describe('a request that cannot be read', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  let keys = 0;
  const send = (body: Buffer | string, headers: Record<string, string> = {}) => {
    keys += 1;
    const all = {
      authorization: `Bearer ${company.users.owner.token}`,
      'content-type': 'application/json',
      'idempotency-key': `malformed-${keys}`,
      ...headers,
    };
    return rawRequest(`${system.url}/api/customers`, { method: 'POST', headers: Object.entries(all), body });
  };
  const everything = () => countEverything(system.owner, company.id);

  test('is answered 400 when its body is no JSON in UTF-8', async () => {
    const before = await everything();
    for (const body of [
      '{',
      '{"name":"a",}',
      "{'name':'a'}",
      '{"name":"a"}{}',
      'name=a',
      '{"name":NaN}',
      '{"name":"line\nbreak"}',
      Buffer.from('{"name":"caf\xe9"}', 'latin1'),
      Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]), // a surrogate, encoded on its own
      Buffer.from('{"name":"wide"}', 'utf16le'),
      Buffer.from([0]),
    ]) {
      const answer = await send(body);
      expect([answer.status, answer.json.code]).toEqual([400, 'malformed_json']);
    }
    expect(await everything()).toEqual(before);
  });

  test('is answered 415 when its body is another medium, another charset or encoded', async () => {
    const before = await everything();
    const good = '{"name":"Media"}';
    for (const headers of [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/x-www-form-urlencoded' },
      { 'content-type': 'multipart/form-data; boundary=x' },
      { 'content-type': 'application/merge-patch+json' },
      { 'content-type': 'application/json, text/plain' },
      { 'content-type': 'json' },
      { 'content-type': '' },
      { 'content-type': 'application/json; charset=iso-8859-1' },
      { 'content-type': 'application/json; charset=utf-16' },
      { 'content-encoding': 'gzip' },
      { 'content-encoding': 'identity, br' },
    ]) {
      const answer = await send(good, headers);
      expect([headers, answer.status, answer.json?.code]).toEqual([headers, 415, 'unsupported_media_type']);
    }
    const untyped = await rawRequest(`${system.url}/api/customers`, {
      method: 'POST',
      headers: [
        ['authorization', `Bearer ${company.users.owner.token}`],
        ['idempotency-key', 'untyped'],
      ],
      body: good,
    });
    expect([untyped.status, untyped.json.code]).toEqual([415, 'unsupported_media_type']);
    expect(await everything()).toEqual(before);
  });

  test('is not one whose medium is only written in another way', async () => {
    for (const headers of [
      { 'content-type': 'APPLICATION/JSON' },
      { 'content-type': 'application/json;charset=UTF-8' },
      { 'content-type': 'application/json ; charset="utf-8"' },
      { 'content-encoding': 'identity' },
    ]) {
      const answer = await send('{"name":"Media"}', headers);
      expect([headers, answer.status]).toEqual([headers, 201]);
    }
  });

  test('is answered 413 above 1 MiB, to the byte, with and without Content-Length', async () => {
    const good = '{"name":"Large"}';
    expect((await send(good.padEnd(MIB))).status).toBe(201);
    const before = await everything();
    const larger = await send(good.padEnd(MIB + 1));
    expect([larger.status, larger.json.code]).toEqual([413, 'body_too_large']);
    const chunk = `${MIB.toString(16)}\r\n${good.padEnd(MIB)}\r\n1\r\n \r\n0\r\n\r\n`;
    const chunked = await rawBytes(
      system.url,
      `POST /api/customers HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${company.users.owner.token}\r\n` +
        `Content-Type: application/json\r\nIdempotency-Key: chunked\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunk}`,
    );
    expect(chunked).toMatch(/^HTTP\/1\.1 413 /);
    expect(chunked).toContain('"body_too_large"');
    expect(await everything()).toEqual(before);
  });

  test('is answered 422 when its JSON is no object, or nested without end', async () => {
    const before = await everything();
    for (const body of ['null', '[]', '1', '"name"', 'true', '[{"name":"a"}]']) {
      const answer = await send(body);
      expect([body, answer.status, answer.json.code]).toEqual([body, 422, 'validation_failed']);
      expect(answer.json.errors).toMatchObject([{ in: 'body', pointer: '' }]);
    }
    for (const body of [
      '['.repeat(200_000) + ']'.repeat(200_000),
      `{"name":${'['.repeat(200_000)}${']'.repeat(200_000)}}`,
      `{"name":"a","metadata":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`,
    ]) {
      expect((await send(body)).status).toBe(422);
    }
    expect(await everything()).toEqual(before);
  });

  test('a body of null is no empty body, on a route that takes none, too', async () => {
    const draft = await company.draftInvoice();
    const answer = await company.api.post(`/api/invoices/${draft}/finalize`, 'null');
    expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
  });

  test('is answered 400 when its bytes are no HTTP, and 431 when its headers are too large', async () => {
    for (const [bytes, status, code] of [
      ['GARBAGE\r\n\r\n', 400, 'malformed_request'],
      ['GET / HTTP/9.9\r\nHost: a\r\n\r\n', 400, 'malformed_request'],
      ['POST /api/customers HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n', 400, 'malformed_request'],
      [`GET / HTTP/1.1\r\nHost: a\r\nX-Large: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
    ] as const) {
      const answer = await rawBytes(system.url, bytes);
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(answer).toContain('application/problem+json');
      expect(answer).toContain(`"code":"${code}"`);
    }
  });

  test('is answered 400 when its path is no URL', async () => {
    for (const path of ['/api/invoices/%E0%A4%A/finalize', '/api/%zz', '/%']) {
      const answer = await company.api.post(path, {});
      expect([path, answer.status, answer.json.code]).toEqual([path, 400, 'malformed_request']);
      expect(answer.headers.get('x-request-id')).toBe(answer.json.requestId);
    }
  });
});

describe('a request for what is not there', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  test('is answered 404 for a route that does not exist', async () => {
    for (const path of ['/', '/api', '/api/', '/api/nothing', '/API/customers', '/api//customers']) {
      const answer = await company.api.post(path, { name: 'Nowhere' });
      expect([path, answer.status, answer.json.code]).toEqual([path, 404, 'route_not_found']);
    }
  });

  test('is answered 405 with the methods that there are', async () => {
    const invoice = '/api/invoices/00000000-0000-4000-8000-000000000000/finalize';
    for (const path of ['/api/customers', '/api/payments', '/api/invoices', invoice]) {
      for (const method of ['PUT', 'PATCH', 'DELETE']) {
        const answer = await company.api.send(method, path);
        expect([method, path, answer.status, answer.json?.code]).toEqual([method, path, 405, 'method_not_allowed']);
        expect(answer.headers.get('allow')?.split(', ')).toContain('POST');
        expect(answer.headers.get('allow')).not.toContain(method);
      }
    }
  });

  test('is answered 422 for a path ID that is none, and 404, for good, for one that names nothing', async () => {
    for (const id of ['1', 'null', '%00', 'a'.repeat(900), '%22%3E', '00000000-0000-4000-8000-00000000000g']) {
      const answer = await company.api.post(`/api/invoices/${id}/finalize`, {});
      expect([id, answer.status, answer.json.code]).toEqual([id, 422, 'validation_failed']);
      expect(answer.json.errors).toMatchObject([{ in: 'path', pointer: '/invoiceId' }]);
    }
    const send = () =>
      company.api.post('/api/invoices/00000000-0000-4000-8000-000000000000/finalize', {}, { key: 'names-nothing' });
    const first = await send();
    expect([first.status, first.json.code, first.replayed]).toEqual([404, 'invoice_not_found', false]);
    const second = await send();
    expect([second.text, second.replayed]).toEqual([first.text, true]);
  });
});

describe('the request ID', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

  test('is the client’s where it can be logged, else one of ours; never two', async () => {
    const send = (value: string) =>
      rawRequest(`${system.url}/api/customers`, {
        method: 'POST',
        headers: [
          ['authorization', `Bearer ${company.users.owner.token}`],
          ['x-request-id', value],
        ],
      });
    for (const value of ['r', 'x'.repeat(128), '01a2/b.c:d-e_f{"json"}%0a']) {
      const answer = await send(value);
      expect(answer.headers.get('x-request-id')).toBe(value);
      expect(answer.json.requestId).toBe(value);
    }
    for (const value of ['', 'x'.repeat(129), 'two words', 'caf\u00e9', 'tab\there']) {
      const answer = await send(value);
      expect(answer.headers.get('x-request-id')).toMatch(UUID);
      expect(answer.json.requestId).toBe(answer.headers.get('x-request-id'));
    }
  });

  test('and the headers that keep a browser from misusing an answer are on every answer', async () => {
    for (const answer of [
      await company.api.get('/livez'),
      await company.api.get('/nowhere'),
      await company.api.send('DELETE', '/api/customers'),
      await company.api.post('/api/customers', { name: 'With ID' }),
    ]) {
      expect(answer.headers.get('x-request-id')).toMatch(UUID);
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
      expect(answer.headers.get('x-frame-options')).toBe('SAMEORIGIN');
      expect(answer.headers.get('content-security-policy')).toContain("default-src 'self'");
      expect(answer.headers.get('x-powered-by')).toBeNull();
    }
  });
});
