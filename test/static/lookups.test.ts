import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Pool } from '../../activities/database.ts';
import { createLookups } from '../../api/submit/lookups.ts';

/** As a connection whose other end is gone without a word: it takes statements and answers none. */
const DEAD = { query: () => new Promise(() => undefined), release: () => undefined };
const NO_ROW = { query: async () => ({ rows: [{ idempotency_key: null }] }), release: () => undefined };

test('lookups whose connections are dead hold up those after them for a second, not until they time out', async () => {
  const connections = [DEAD, DEAD];
  const reads = {
    connections: { connect: async () => connections.pop() ?? NO_ROW },
    onConnectionWait: () => undefined,
  };
  const lookups = createLookups(reads as unknown as Pool);
  const lost = ['lost-1', 'lost-2'].map((key) => lookups.findRow('company', key));
  const next = lookups.findRow('company', 'next').then(() => 'answered');
  expect(await Promise.race([next, ...lost, sleep(5_000, 'held up')])).toBe('answered');
});
