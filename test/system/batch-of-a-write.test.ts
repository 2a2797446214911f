import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import { type Database, openDatabase } from '../../activities/database.ts';
import { adviseOn } from '../../deploy/operator/write/advice.ts';
import { readFacts } from '../../deploy/operator/write/facts.ts';
import { factsText } from '../../deploy/operator/write/text.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import { ownerUrlOf } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

describe('from a write to its batch', () => {
  let system: System;
  let worker: Awaited<ReturnType<typeof startBatchWorker>> | undefined;
  let company: Company;
  let api: ReturnType<typeof batchClient>;
  let database: Database;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company('Operated Ltd');
    api = batchClient(system, company);
    database = openDatabase({
      connectionString: ownerUrlOf(system.owner),
      writePoolMax: 1,
      readPoolMax: 2,
      statementTimeoutMs: 10_000,
      applicationName: 'accubooks-operator',
    });
  });
  afterAll(async () => {
    await worker?.close();
    await database.close();
    await system.stop();
  });

  async function shown(key: string) {
    const ui = { url: 'http://temporal.test', namespace: 'default' };
    const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] ?? '';
    const owner = { id: company.id, name: 'Operated Ltd' };
    const facts = await readFacts({ database, temporal: system.temporal, taskQueue, ui }, owner, key);
    return { ...facts, text: factsText(facts, adviseOn(facts, Date.now())) };
  }

  test('an operator is told of the row that waits, of the one that was written, and of the one that was found written', async () => {
    await company.api.post('/api/customers', { name: 'Alone' }, { key: 'alone', headers: { 'x-request-id': 'one' } });
    expect((await shown('alone')).batches).toEqual([]);
    const file = ndjson([
      { key: 'alone', body: { name: 'Alone' } },
      { body: { name: 'Derived' } },
      { key: 'own', body: { name: 'Own' } },
    ]);
    const derived = keyOfRow(createHash('sha256').update(file).digest('hex'), 2);
    // A request ID may be of several requests: what else has it is not of the batch.
    const headers = { 'x-request-id': 'two' };
    await company.api.post('/api/customers', { name: 'Another' }, { key: 'another', headers });
    await api.send(file, { key: 'month-end', operation: 'createCustomer', headers });
    for (const [key, row] of [
      ['own', 3],
      [derived, 2],
    ] as const) {
      const facts = await shown(key);
      expect(facts).toMatchObject({
        state: 'in_batch',
        batches: [{ key: 'month-end', state: 'queued', row, outcome: 'pending' }],
      });
      expect(facts.text).toContain(`It is row ${row} of the batch month-end, which is queued`);
    }

    worker = await startBatchWorker(system);
    expect((await api.over('month-end')).json).toMatchObject({
      requestId: 'two',
      counts: { succeeded: 2, replayed: 1 },
    });
    const batch = { key: 'month-end', state: 'completed' };
    expect(await shown('own')).toMatchObject({
      state: 'succeeded',
      write: { requestId: 'two' },
      batches: [{ ...batch, row: 3, outcome: 'succeeded' }],
    });
    expect((await shown(derived)).batches).toEqual([{ ...batch, row: 2, outcome: 'succeeded' }]);
    const alone = await shown('alone');
    expect(alone.batches).toEqual([{ ...batch, row: 1, outcome: 'replayed' }]);
    expect(alone.text).toContain('row 1 of month-end (completed): replayed');
    expect((await shown('another')).batches).toEqual([]);
    expect((await shown('nothing-of-this')).state).toBe('never_seen');
    // And back: the results have the key of each row.
    expect((await api.results('month-end')).map(({ key }) => key)).toEqual(['alone', derived, 'own']);
  });
});
