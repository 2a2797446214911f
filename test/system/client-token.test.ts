import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inParallel } from '../../deploy/cli/in-parallel.ts';
import { createCalls } from '../../deploy/client/src/calls.ts';
import type { Answer } from '../../deploy/client/src/http.ts';
import type { TokenSource } from '../../deploy/client/src/token.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

const WRITES = 50;
const AT_ONCE = 8;
/** It takes seconds until a token ends, however many are written meanwhile. */
const PAUSE_MS = 200;

let system: System;
beforeAll(async () => {
  system = await startSystem({ environment: { RATE_LIMIT_PER_SECOND: '100000', RATE_LIMIT_BURST: '100000' } });
});
afterAll(() => system.stop());

/** Writes customers until so many are written and `isOver`; answers their keys, and the status of each answer that came. */
async function writeWhile(token: TokenSource, isOver: () => boolean) {
  const statuses: number[] = [];
  const trace = async (_: unknown, send: () => Promise<Answer>) => {
    const answer = await send();
    statuses.push(answer.status);
    return answer;
  };
  const calls = createCalls({ baseUrl: system.url, token, trace });
  const about = { operation: 'createCustomer', method: 'POST', path: '/api/customers' } as const;
  const keys: string[] = [];
  const lane = async () => {
    while (keys.length < WRITES || !isOver()) {
      const idempotencyKey = `customer-${keys.length}`;
      keys.push(idempotencyKey);
      await calls.write({ ...about, body: { name: idempotencyKey } }, { idempotencyKey });
      await sleep(PAUSE_MS);
    }
  };
  await inParallel(AT_ONCE, Array.from({ length: AT_ONCE }), lane);
  return { keys, statuses };
}

async function writtenBy(company: Company): Promise<string[]> {
  const { rows } = await system.owner.query<{ key: string }>(
    `SELECT w.idempotency_key AS key FROM idempotent_writes w
     JOIN customers c ON c.company_id = w.company_id AND c.id = w.write_id WHERE w.company_id = $1`,
    [company.id],
  );
  return rows.map(({ key }) => key).toSorted();
}

describe(`a token that ends in the middle of ${WRITES} writes`, () => {
  test('by its lifetime is renewed, and no write fails', async () => {
    const company = await system.company();
    const claims = { userId: company.users.owner.id, companyId: company.id };
    let asked = 0;
    const { keys } = await writeWhile(
      () => {
        asked += 1;
        // Rounded to seconds: between one and two.
        return signToken(claims, { ttlSeconds: 2 });
      },
      () => asked > 2,
    );
    expect(await writtenBy(company)).toEqual(keys.toSorted());
  });

  test('because it is revoked is asked for again once, and each write that met the 401 is sent again', async () => {
    const company = await system.company();
    const claims = { userId: company.users.owner.id, companyId: company.id };
    const tokenId = randomUUID();
    const tokens = [await signToken(claims, { claims: { jti: tokenId } }), await signToken(claims)];
    let asked = 0;
    const source = async () => {
      const token = tokens[Math.min(asked, 1)] as string;
      asked += 1;
      // Takes effect within five seconds.
      await system.owner.query(
        `INSERT INTO revoked_tokens (token_id, reason, revoked_by) VALUES ($1, 'leaked', 'the test') ON CONFLICT DO NOTHING`,
        [tokenId],
      );
      return token;
    };
    const { keys, statuses } = await writeWhile(source, () => asked > 1);
    expect(await writtenBy(company)).toEqual(keys.toSorted());
    expect(asked).toBe(2);
    const refused = statuses.filter((status) => status === 401).length;
    expect(refused).toBeGreaterThan(0);
    // Those that were on their way when the first of them was refused.
    expect(refused).toBeLessThanOrEqual(AT_ONCE);
  });
});
