import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiClient } from '../support/client.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';

import { until } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';
import { JWT_SECRET, signToken } from '../support/tokens.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
});
afterAll(() => system.stop());

const tokenOf = (claims: Record<string, unknown> = {}, secret = JWT_SECRET) =>
  signToken({ userId: company.users.owner.id, companyId: company.id }, { claims, secret });

describe('a token that has leaked', () => {
  test('is refused once it is revoked, though it is remembered; others of its user are not', async () => {
    const jti = randomUUID();
    const [leaked, other] = [await tokenOf({ jti }), await tokenOf({ jti: randomUUID() })];
    const statusWith = async (token: string) => (await createApiClient(system.url, token).get('/api/me')).status;
    expect(await statusWith(leaked)).toBe(200);
    const revoke = () =>
      runCommand('deploy/operator/token-revoke.ts', ['--token-id', jti, '--reason', 'leaked'], {
        MIGRATION_DATABASE_URL: ownerUrlOf(system.owner),
      });
    const [first, again] = [await revoke(), await revoke()];
    expect([first.code, JSON.parse(first.stdout)]).toEqual([0, { tokenId: jti, revoked: 'now' }]);
    expect([again.code, JSON.parse(again.stdout)]).toEqual([0, { tokenId: jti, revoked: 'before' }]);
    const { rows } = await system.owner.query('SELECT reason, revoked_by FROM revoked_tokens WHERE token_id = $1', [
      jti,
    ]);
    expect(rows).toEqual([{ reason: 'leaked', revoked_by: expect.stringMatching(/^\w+\/./) }]);
    await until('its refusal', async () => (await statusWith(leaked)) === 401);
    expect(await statusWith(other)).toBe(200);
    expect(await statusWith(company.users.owner.token)).toBe(200);
  });

  test('is refused by a process that starts later', async () => {
    const jti = randomUUID();
    await system.owner.query(
      `INSERT INTO revoked_tokens (token_id, reason, revoked_by) VALUES ($1, 'leaked', 'the test')`,
      [jti],
    );
    const { url } = await system.another();
    expect((await createApiClient(url, await tokenOf({ jti })).get('/api/me')).status).toBe(401);
  });

  test('cannot be pardoned by the API', async () => {
    const client = await system.owner.connect();
    try {
      for (const change of [
        `INSERT INTO revoked_tokens (token_id, reason, revoked_by) VALUES ('x', 'x', 'x')`,
        'DELETE FROM revoked_tokens',
        `UPDATE revoked_tokens SET token_id = 'other'`,
        'UPDATE cursor_key SET unsigned_until = now()',
      ]) {
        await client.query('BEGIN');
        await client.query('SET LOCAL ROLE accubooks_app');
        await expect(client.query(change)).rejects.toThrow('permission denied');
        await client.query('ROLLBACK');
      }
    } finally {
      client.release();
    }
  });
});

describe('a secret that is being replaced', () => {
  const NEW = 'the-new-secret-of-the-tests-of-32-bytes-and-more';

  test('is accepted beside the other one, whichever comes first; no third is', async () => {
    for (const [first, second] of [
      [JWT_SECRET, NEW],
      [NEW, JWT_SECRET],
    ] as const) {
      const { url } = await system.another({ environment: { JWT_SECRET: first, JWT_SECRET_SECONDARY: second } });
      const statusWith = async (secret: string) =>
        (await createApiClient(url, await tokenOf({ jti: randomUUID() }, secret)).get('/api/me')).status;
      expect([await statusWith(JWT_SECRET), await statusWith(NEW)]).toEqual([200, 200]);
      expect(await statusWith('a-third-secret-of-the-tests-of-32-bytes')).toBe(401);
    }
  });

  test('is no longer accepted afterwards', async () => {
    const { url } = await system.another({ environment: { JWT_SECRET: NEW } });
    expect((await createApiClient(url, await tokenOf()).get('/api/me')).status).toBe(401);
  });
});
