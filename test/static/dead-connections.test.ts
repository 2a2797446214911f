import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { AuditRow } from '../../activities/audit/record-rows.ts';
import type { Pool } from '../../activities/database.ts';
import { createLookups } from '../../api/submit/lookups.ts';
import { createAuditBatch } from '../../api/writes/audit-batch.ts';

/** As a connection whose other end is gone without a word: it takes statements and answers none. */
const DEAD = { query: () => new Promise(() => undefined), release: () => undefined };
const WELL = { query: async () => ({ rows: [{ idempotency_key: null }] }), release: () => undefined };

/** A pool that hands out so many dead connections first. */
function poolWithDead(count: number): Pool {
  let given = 0;
  const connections = { connect: async () => (given++ < count ? DEAD : WELL) };
  return { connections, onConnectionWait: () => undefined } as unknown as Pool;
}

describe('dead connections hold up what comes later for a second, not until they time out', () => {
  const answered = (promise: Promise<unknown>) =>
    Promise.race([promise.then(() => 'answered'), sleep(5_000, 'held up')]);

  test('lookups', async () => {
    const lookups = createLookups(poolWithDead(2), { require: async () => undefined });
    for (const key of ['lost-1', 'lost-2']) void lookups.findRow('company', key);
    expect(await answered(lookups.findRow('company', 'later'))).toBe('answered');
  });

  test('audit rows of replays', async () => {
    const batch = createAuditBatch(poolWithDead(1));
    void batch.record({} as AuditRow);
    expect(await answered(batch.record({} as AuditRow))).toBe('answered');
  });
});
