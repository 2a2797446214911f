import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workflowIdOf } from '../../activities/identity.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, countEverything } from '../support/effects.ts';
import { rawBytes, rawRequest } from '../support/raw-request.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

type Keys = [string, string, string];

const quoted = (key: string) => `"${key.replace(/["\\]/g, '\\$&')}"`;

describe('the Idempotency-Key header', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  const body = { name: 'Keyed' };
  const everything = () => countEverything(system.owner, company.id);
  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'customers', key });
  /** Header lines as given: `fetch` would join repeated ones, and refuse some. */
  const send = (keyLines: readonly (readonly [string, string])[], content: unknown = body) =>
    rawRequest(`${system.url}/api/customers`, {
      method: 'POST',
      headers: [
        ['authorization', `Bearer ${company.users.owner.token}`],
        ['content-type', 'application/json'],
        ...keyLines,
      ],
      body: JSON.stringify(content),
    });
  const sendKey = (value: string, content?: unknown) => send([['idempotency-key', value]], content);

  test('a write without a key is refused, and leaves nothing', async () => {
    const before = await everything();
    const answer = await send([]);
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({
      type: '/docs/errors#idempotency_key_missing',
      code: 'idempotency_key_missing',
      retryable: false,
      nextAction: 'fix_request',
    });
    expect(answer.headers.get('idempotency-key')).toBeNull();
    expect(await everything()).toEqual(before);
  });

  const malformed: Readonly<Record<string, string>> = {
    empty: '',
    'an empty string': '""',
    'only spaces': '"   "',
    '256 characters': 'k'.repeat(256),
    '256 characters, quoted': quoted('k'.repeat(256)),
    'a tab': 'a\tb',
    'a tab, quoted': '"a\tb"',
    'a non-ASCII character': 'caf\u00e9',
    'a non-ASCII character, quoted': '"caf\u00e9"',
    'a space, bare': 'a b',
    'a comma, bare': 'a,b',
    'a quote in a bare key': 'a"b',
    'a quote that is never closed': '"abc',
    'a lone quote': '"',
    'a closing quote that is escaped': '"abc\\"',
    'an escape of another character': '"a\\bc"',
    'something behind the string': '"a"b',
    'a parameter': '"a";v=1',
    'a list': '"a", "b"',
    'one dot': '.',
    'two dots': '..',
    'two dots, quoted': '".."',
  };
  test.each(Object.entries(malformed))('a malformed key is refused, never ignored: %s', async (_name, value) => {
    const before = await everything();
    const answer = await sendKey(value);
    expect([answer.status, answer.json.code]).toEqual([400, 'idempotency_key_invalid']);
    expect(answer.headers.get('idempotency-key')).toBeNull();
    expect(await everything()).toEqual(before);
  });

  test('two header lines are refused, alike or not, in any case of the name', async () => {
    const before = await everything();
    for (const [first, second] of [
      ['one', 'one'],
      ['one', 'two'],
      ['"one"', ''],
    ] as const) {
      const answer = await send([
        ['Idempotency-Key', first],
        ['idempotency-key', second],
      ]);
      expect([answer.status, answer.json.code]).toEqual([400, 'idempotency_key_invalid']);
    }
    expect(await everything()).toEqual(before);
  });

  test.each(['\x01', '\0', '\x7f'])('a control character in a key is refused: %j', async (character) => {
    const before = await everything();
    const content = JSON.stringify(body);
    const answer = await rawBytes(
      system.url,
      `POST /api/customers HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${company.users.owner.token}\r\n` +
        `Content-Type: application/json\r\nIdempotency-Key: a${character}b\r\nConnection: close\r\n` +
        `Content-Length: ${content.length}\r\n\r\n${content}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"idempotency_key_invalid"');
    expect(await everything()).toEqual(before);
  });

  test('the name of the header counts in any case, the key in its own', async () => {
    const lower = await send([['idempotency-key', 'CaseOfKey']]);
    const upper = await send([['IDEMPOTENCY-KEY', 'CaseOfKey']]);
    const other = await send([['Idempotency-Key', 'caseofkey']]);
    expect([lower.status, upper.status, other.status]).toEqual([201, 201, 201]);
    expect([lower.replayed, upper.replayed, other.replayed]).toEqual([false, true, false]);
    expect(upper.text).toBe(lower.text);
    expect(other.json.id).not.toBe(lower.json.id);
  });

  test('a key quoted and the same key bare are one key', async () => {
    const first = await sendKey('"quoted-or-bare"');
    const second = await sendKey('quoted-or-bare');
    expect([first.status, second.status]).toEqual([201, 201]);
    expect([first.replayed, second.replayed]).toEqual([false, true]);
    expect(second.text).toBe(first.text);
    expect(await effects('quoted-or-bare')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1 });
  });

  test('the key is echoed on every answer that has parsed it: bare where that is allowed, else quoted', async () => {
    const user = company.as('auditor');
    const post = (key: string, content: unknown) => company.api.post('/api/customers', content, { key });
    expect((await post('"echo-bare"', body)).headers.get('idempotency-key')).toBe('echo-bare');
    expect((await post('"echo this"', body)).headers.get('idempotency-key')).toBe('"echo this"');
    const invalid = await post('echo-422', {});
    expect([invalid.status, invalid.headers.get('idempotency-key')]).toEqual([422, 'echo-422']);
    const forbidden = await user.post('/api/customers', body, { key: '"echo,403"' });
    expect([forbidden.status, forbidden.headers.get('idempotency-key')]).toEqual([403, '"echo,403"']);
    const reused = await post('echo-bare', { name: 'Other' });
    expect([reused.status, reused.headers.get('idempotency-key')]).toEqual([422, 'echo-bare']);
  });

  const awkward: Readonly<Record<string, string>> = {
    'one character': 'k',
    '255 characters': `${randomUUID()}${'x'.repeat(219)}`,
    '255 quotes': '"'.repeat(255),
    'spaces around and within': '  a  b  ',
    slashes: '/a/../b//c/',
    'percent signs': '100%25%2F%',
    tildes: '~tilde~',
    'a colon and a company': '00000000-0000-0000-0000-000000000000:k',
    'escaped quotes and backslashes': 'say \\"yes\\"',
    'commas and semicolons': 'a,b;c=d',
    'what URLs and shells know': "?#&=+$`{}[]|<>^'!*()",
    SQL: "'; DROP TABLE payments; --",
    'three dots': '...',
    'a name that objects have': '__proto__',
    'all of ASCII that prints': Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)).join(''),
  };
  test.each(Object.entries(awkward))('a key works from end to end: %s', async (_name, key) => {
    const first = await sendKey(quoted(key));
    expect([first.status, first.replayed]).toEqual([201, false]);
    const second = await sendKey(quoted(key));
    expect([second.status, second.replayed, second.text]).toEqual([201, true, first.text]);
    const echoed = second.headers.get('idempotency-key') ?? '';
    expect((await sendKey(echoed)).text).toBe(first.text);
    expect(await effects(key)).toEqual({
      writes: 1,
      rows: 1,
      entries: 0,
      newAudit: 1,
      replayedAudit: 2,
      failedAudit: 0,
      events: 1,
    });
    const other = await sendKey(quoted(key), { name: 'Another' });
    expect([other.status, other.json.code]).toEqual([422, 'idempotency_key_reused']);
    expect(other.json.writeUrl).toBe(`/api/writes/${encodeURIComponent(key)}`);
    const status = await company.api.get(other.json.writeUrl);
    expect([status.status, status.json.key, status.json.state]).toEqual([200, key, 'succeeded']);
    const late = await company.api.post(`${other.json.writeUrl}/cancel`, {});
    expect([late.status, late.json.code]).toEqual([409, 'too_late']);
  });

  test.each(Object.entries(awkward))('a key can be cancelled before it is seen: %s', async (_name, key) => {
    const other = await system.company();
    const path = `/api/writes/${encodeURIComponent(key)}`;
    expect((await other.api.get(path)).status).toBe(404);
    const cancelled = await other.api.post(`${path}/cancel`, {});
    expect([cancelled.status, cancelled.json.key, cancelled.json.state]).toEqual([200, key, 'cancelled']);
    const late = await other.api.post('/api/customers', body, { key: quoted(key) });
    expect([late.status, late.json.code, late.replayed]).toEqual([409, 'write_cancelled', true]);
    const effects = await countEffects(system.owner, { companyId: other.id, table: 'customers' });
    expect(effects).toMatchObject({ writes: 0, rows: 0, newAudit: 0, events: 0 });
  });

  test('a new key that begins as those of triggered workflows is refused; one that has its row is answered as ever', async () => {
    const [taken, fresh, cancelled] = ['taken', 'fresh', 'cancelled'].map((name) => `trigger:${name}:step`) as Keys;
    await system.temporal.workflow.execute('write', {
      workflowId: workflowIdOf(company.id, taken),
      taskQueue: system.environment['TEMPORAL_TASK_QUEUE'] ?? '',
      args: [writeArguments(company, createCustomer, body, taken)],
    });
    const replay = await sendKey(taken);
    expect([replay.status, replay.replayed]).toEqual([201, true]);
    expect((await sendKey(taken, { name: 'Another' })).json.code).toBe('idempotency_key_reused');

    const before = await everything();
    const refused = await sendKey(fresh);
    expect([refused.status, refused.json.code]).toEqual([400, 'idempotency_key_invalid']);
    expect(refused.headers.get('idempotency-key')).toBe(fresh);
    expect((await sendKey(fresh, {})).json.code).toBe('validation_failed');
    expect(await everything()).toEqual(before);

    expect((await company.api.get(`/api/writes/${taken}`)).json.state).toBe('succeeded');
    expect((await company.api.get(`/api/writes/${fresh}`)).json.code).toBe('write_not_found');
    expect((await company.api.post(`/api/writes/${cancelled}/cancel`, {})).json.state).toBe('cancelled');
    expect((await sendKey(cancelled)).json.code).toBe('write_cancelled');
  });

  test('a read takes no notice of a key', async () => {
    for (const value of ['', '"open', 'fine']) {
      const answer = await rawRequest(`${system.url}/api/me`, {
        method: 'GET',
        headers: [
          ['authorization', `Bearer ${company.users.owner.token}`],
          ['idempotency-key', value],
        ],
      });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('idempotency-key')).toBeNull();
    }
  });
});
