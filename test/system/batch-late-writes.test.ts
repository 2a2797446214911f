import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { until, untilWaiting } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

/** Whether the worker has become a later release, which does not take what the earlier one took. */
let isStricter = false;

function stricterInTime(operation: Operation): Operation {
  const { body } = operation;
  const safeParse = (value: unknown) => body.safeParse(isStricter ? { ...(value as object), unknown: 1 } : value);
  return { ...operation, body: Object.create(body, { safeParse: { value: safeParse } }) };
}

let system: System;
let worker: Awaited<ReturnType<typeof startBatchWorker>>;
beforeAll(async () => {
  system = await startSystem();
  worker = await startBatchWorker(
    system,
    OPERATIONS.map((operation) => (operation.name === 'createCustomer' ? stricterInTime(operation) : operation)),
  );
});
afterAll(async () => {
  await worker.close();
  await system.stop();
});

const NAMES = ['One', 'Two'];
const FILE = ndjson(NAMES.map((name) => ({ body: { name } })));

async function countCustomers(company: Company): Promise<number> {
  const { rows } = await system.owner.query('SELECT count(*)::int AS made FROM customers WHERE company_id = $1', [
    company.id,
  ]);
  return rows[0].made;
}

const told = (results: readonly { outcome: string; status: number; resource: { name: string } | null }[]) =>
  results.map(({ outcome, status, resource }) => [outcome, status, resource?.name]);

describe('rows that were written before what became of them could be recorded', () => {
  /** A batch of an accountant whose rows are written, and whose record waits until what has been changed. */
  async function recordedAfter(change: (company: Company) => Promise<unknown>) {
    const company = await system.company();
    // A number that a sequence has given stays, though the transaction is rolled back.
    await system.owner.query(
      `CREATE SEQUENCE refused;
       CREATE FUNCTION refuse_record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
       $$ BEGIN
         PERFORM nextval('refused');
         RAISE EXCEPTION 'away' USING ERRCODE = 'admin_shutdown';
       END $$;
       CREATE TRIGGER refuse_record BEFORE UPDATE OF outcomes ON batch_chunks FOR EACH ROW EXECUTE FUNCTION refuse_record()`,
    );
    const sender = batchClient(system, company, company.users.accountant.token);
    expect((await sender.send(FILE, { key: 'b', operation: 'createCustomer' })).status).toBe(202);
    await until('the rows are written and their record is refused', async () => {
      const { rows } = await system.owner.query('SELECT is_called FROM refused');
      return rows[0].is_called && (await countCustomers(company)) === NAMES.length;
    });
    await change(company);
    await system.owner.query(
      'DROP TRIGGER refuse_record ON batch_chunks; DROP FUNCTION refuse_record(); DROP SEQUENCE refused',
    );
    const api = batchClient(system, company);
    const over = await api.over('b');
    expect(await countCustomers(company)).toBe(NAMES.length);
    return { counts: over.json.counts, results: await api.results('b') };
  }
  const written = NAMES.map((name) => ['succeeded', 201, name]);

  test.each([
    ['has another role', `UPDATE memberships SET roles = '{employee}' WHERE company_id = $1 AND user_id = $2`],
    ['is no member any more', 'DELETE FROM memberships WHERE company_id = $1 AND user_id = $2'],
  ])('are told as written where their sender %s by then', async (_, sql) => {
    const { counts, results } = await recordedAfter(({ id, users }) =>
      system.owner.query(sql, [id, users.accountant.id]),
    );
    expect(counts).toMatchObject({ succeeded: 2, refused: 0 });
    expect(told(results)).toEqual(written);
  });

  test('are told as written where a later release would refuse them by then', async () => {
    onTestFinished(() => {
      isStricter = false;
    });
    const { counts, results } = await recordedAfter(async () => {
      isStricter = true;
    });
    expect(counts).toMatchObject({ succeeded: 2, refused: 0 });
    expect(told(results)).toEqual(written);
  });
});

describe('rows that are written, and were recorded as', () => {
  /** A batch that is over, as one would be whose rows were committed after it had given them up. */
  async function recordedAs(outcome: 'f' | 'u', problem: object) {
    const company = await system.company();
    const api = batchClient(system, company);
    await api.send(FILE, { key: 'b', operation: 'createCustomer' });
    expect((await api.over('b')).json.counts).toMatchObject({ succeeded: NAMES.length });
    await system.owner.query('ALTER TABLE batch_chunks DISABLE TRIGGER keep_row_outcomes');
    await system.owner.query(
      `UPDATE batch_chunks SET outcomes = repeat($2, 2), faults = 2, problems = jsonb_build_object('0', $3::jsonb, '1', $3::jsonb)
       WHERE company_id = $1`,
      [company.id, outcome, JSON.stringify(problem)],
    );
    await system.owner.query('ALTER TABLE batch_chunks ENABLE TRIGGER keep_row_outcomes');
    await system.owner.query(
      `UPDATE batches SET succeeded = 0, ${outcome === 'f' ? 'failed' : 'refused'} = 2 WHERE company_id = $1`,
      [company.id],
    );
    return { api, company };
  }
  const UNKNOWN = { code: 'outcome_unknown', detail: 'It had no outcome.' };

  test('refused, are told with their write', async () => {
    const { api } = await recordedAs('u', { code: 'forbidden', detail: 'It needs a role.' });
    expect(told(await api.results('b'))).toEqual(NAMES.map((name) => ['refused', 201, name]));
    expect((await api.status('b')).json.errors[0]).toMatchObject({ status: 201, code: 'forbidden' });
  });

  test('failed, are told as written once they are tried again', async () => {
    const { api } = await recordedAs('f', UNKNOWN);
    expect((await api.control('b', 'retry-failed')).json.counts).toMatchObject({ failed: 0, pending: 2 });
    expect((await api.over('b')).json.counts).toMatchObject({ succeeded: 2 });
    expect(told(await api.results('b'))).toEqual(NAMES.map((name) => ['succeeded', 201, name]));
  });

  test('failed, are told with their write also where the batch is cancelled before they are tried again', async () => {
    const { api } = await recordedAs('f', UNKNOWN);
    await worker.close();
    try {
      expect((await api.control('b', 'retry-failed')).status).toBe(200);
      expect((await api.control('b', 'cancel')).json.counts).toMatchObject({ cancelled: 2 });
    } finally {
      worker = await startBatchWorker(system, OPERATIONS);
    }
    expect(told(await api.results('b'))).toEqual(NAMES.map((name) => ['cancelled', 201, name]));
  });

  test('failed, are not tried again once their uploads are gone, also at that very moment', async () => {
    const { api, company } = await recordedAs('f', UNKNOWN);
    const tidying = await system.owner.connect();
    onTestFinished(() => tidying.release());
    await tidying.query('BEGIN');
    await tidying.query('UPDATE batch_chunks SET content = NULL, is_kept = false WHERE company_id = $1', [company.id]);
    const retrying = api.control('b', 'retry-failed');
    await untilWaiting(system.owner, 1);
    await tidying.query('COMMIT');
    expect((await retrying).json).toMatchObject({ status: 409, code: 'batch_state_conflict' });
    expect((await api.status('b')).json).toMatchObject({ state: 'completed', counts: { failed: 2 } });
  });
});
