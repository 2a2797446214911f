import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import { type Answer, patiently } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let worker: Awaited<ReturnType<typeof startBatchWorker>>;
let company: Company;
let api: ReturnType<typeof batchClient>;
beforeAll(async () => {
  system = await startSystem();
  worker = await startBatchWorker(system);
});
beforeEach(async () => {
  company = await system.company();
  api = batchClient(system, company);
});
afterAll(async () => {
  await worker.close();
  await system.stop();
});

const ROWS = 60;
const rowsOf = (name: string) =>
  Array.from({ length: ROWS }, (_, index) => ({
    key: `customer-${index + 1}`,
    body: { name: `${name} ${index + 1}`, currency: 'USD' },
  }));
const effects = () => countEffects(system.owner, { companyId: company.id, table: 'customers' });
const alone = ({ key, body }: { key: string; body: object }) =>
  patiently(() => company.api.post('/api/customers', body, { key, headers: { prefer: 'wait=60' } }));

/** The batch and each row alone at the same moment: the one from the front, the others from the end. */
async function race(rows: ReturnType<typeof rowsOf>, others: ReturnType<typeof rowsOf>) {
  const batch = api.send(ndjson(rows), { key: 'race', operation: 'createCustomer' }).then(() => api.over('race'));
  const answers = await Promise.all(others.toReversed().map(alone));
  const { json } = await batch;
  const results = await api.results('race');
  const pairs = answers.toReversed().map((answer, index) => ({ answer, result: results[index] }));
  return { json, pairs };
}

/** Who wrote a key: exactly one of the two. */
function writers(
  pairs: readonly { answer: Answer; result: { outcome: string } }[],
  wrote: (answer: Answer) => boolean,
) {
  return pairs.map(({ answer, result }) => [result.outcome === 'succeeded', wrote(answer)].filter(Boolean).length);
}

test('rows that are sent alone at the same moment are written once, and both are told the truth', async () => {
  const rows = rowsOf('Customer');
  const { json, pairs } = await race(rows, rows);
  expect(writers(pairs, ({ replayed }) => !replayed)).toEqual(rows.map(() => 1));
  for (const { answer, result } of pairs) {
    expect([answer.status, result.status, result.resource]).toEqual([201, 201, answer.json]);
  }
  const { succeeded, replayed } = json.counts;
  expect([json.state, succeeded + replayed]).toEqual(['completed', ROWS]);
  expect(await effects()).toMatchObject({
    ...{ writes: ROWS, rows: ROWS, newAudit: ROWS, events: ROWS, replayedAudit: ROWS, failedAudit: 0 },
  });

  // And afterwards, either way.
  const after = await Promise.all(rows.map(alone));
  expect(after.every(({ status, replayed: isReplayed }) => status === 201 && isReplayed)).toBe(true);
  await api.send(ndjson(rows), { key: 'after', operation: 'createCustomer' });
  expect((await api.over('after')).json.counts).toMatchObject({ succeeded: 0, replayed: ROWS });
  expect(await effects()).toMatchObject({ writes: ROWS, newAudit: ROWS, replayedAudit: 3 * ROWS, failedAudit: 0 });
});

test('rows that are sent alone with another body at the same moment are written once, and the other is a mismatch', async () => {
  const { json, pairs } = await race(rowsOf('Mine'), rowsOf('Yours'));
  expect(writers(pairs, ({ status }) => status === 201)).toEqual(pairs.map(() => 1));
  for (const { answer, result } of pairs) {
    const isMine = result.outcome === 'succeeded';
    expect([result.outcome, result.status, answer.status, answer.replayed]).toEqual(
      isMine ? ['succeeded', 201, 422, false] : ['mismatched', 422, 201, false],
    );
    const { code, differences } = isMine ? answer.json : result.problem;
    expect([code, differences[0]]).toMatchObject(['idempotency_key_reused', { in: 'body', pointer: '/name' }]);
  }
  const { succeeded, mismatched } = json.counts;
  expect(succeeded + mismatched).toBe(ROWS);
  expect(await effects()).toMatchObject({
    ...{ writes: ROWS, rows: ROWS, newAudit: ROWS, events: ROWS, replayedAudit: 0, failedAudit: ROWS },
  });
});

test('rows of a file that share a key are written once, and those after the first are replays or mismatches', async () => {
  const [row] = rowsOf('Twin');
  const other = { ...row, body: { ...row?.body, name: 'Another' } };
  const filler = rowsOf('Filler').slice(1);
  await api.send(ndjson([row ?? {}, row ?? {}, ...filler, other, row ?? {}]), {
    key: 'twins',
    operation: 'createCustomer',
  });
  expect((await api.over('twins')).json.counts).toMatchObject({ succeeded: ROWS, replayed: 2, mismatched: 1 });
  const outcomes = (await api.results('twins')).map(({ outcome }) => outcome);
  expect([outcomes[0], outcomes[1], ...outcomes.slice(-2)]).toEqual([
    'succeeded',
    'replayed',
    'mismatched',
    'replayed',
  ]);
  expect(await effects()).toMatchObject({ rows: ROWS, newAudit: ROWS, replayedAudit: 2, failedAudit: 1 });
  const { timeline } = (await company.api.get(`/api/writes/${row?.key}`)).json;
  expect(timeline.find(({ kind }: { kind: string }) => kind === 'conflicted')).toMatchObject({
    differences: [{ in: 'body', pointer: '/name' }],
  });
});
