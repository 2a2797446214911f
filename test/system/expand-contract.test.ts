import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Operation } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import type { RunningApi } from '../../api/app.ts';
import type { Answer, ApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { oneByOne } from '../support/one-by-one.ts';
import { type System, startSystem } from '../support/system.ts';

/** What the next release does: the same, over a column by its new name. */
const nextCreateCustomer: Operation = {
  ...oneByOne(createCustomer),
  // Both names: between the first migration and the last, either index may be the one that refuses.
  constraints: { ...createCustomer.constraints, customers_client_reference_key: 'customer_reference_taken' },
  write: (tx, input, context) =>
    createCustomer.write({ query: (sql, values) => tx.query(inNewNames(sql), values) }, input, context),
};

function inNewNames(sql: string): string {
  return sql
    .replaceAll('k.external_reference', 'k.client_reference')
    .replace('currency, external_reference', 'currency, client_reference');
}

/** First migration of the change, before any process of the next release: both names, each kept equal to the other. */
const EXPAND = [
  'ALTER TABLE customers ADD COLUMN client_reference text CHECK (length(client_reference) BETWEEN 1 AND 200)',
  `CREATE FUNCTION customers_both_references() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     NEW.client_reference := coalesce(NEW.client_reference, NEW.external_reference);
     NEW.external_reference := coalesce(NEW.external_reference, NEW.client_reference);
     RETURN NEW;
   END $$`,
  'CREATE TRIGGER both_references BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION customers_both_references()',
  'UPDATE customers SET client_reference = external_reference WHERE client_reference IS DISTINCT FROM external_reference',
  'CREATE UNIQUE INDEX CONCURRENTLY customers_client_reference_key ON customers (company_id, client_reference)',
];

/** Last migration of the change, when no process of the release before is left. */
const CONTRACT = [
  'DROP TRIGGER both_references ON customers',
  'DROP FUNCTION customers_both_references()',
  'ALTER TABLE customers DROP COLUMN external_reference',
];

/** Writes of each release that every phase waits for. */
const WRITES_PER_PHASE = 12;

describe('a column is renamed while both releases write', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem({ operations: [createCustomer] });
    company = await system.company();
  });
  afterAll(() => system.stop());

  test('expand, both releases, contract: no request fails, no write is lost or made twice', async () => {
    const old = startLoad(company.api, 'old');
    await old.untilFurther(WRITES_PER_PHASE);

    await migrate(EXPAND);
    await old.untilFurther(WRITES_PER_PHASE);
    const release: RunningApi = await system.another({ operations: [nextCreateCustomer] });
    const nextClient = company.as('owner', release.url);
    const next = startLoad(nextClient, 'next');
    await Promise.all([old.untilFurther(WRITES_PER_PHASE), next.untilFurther(WRITES_PER_PHASE)]);
    await expectOneAnswer(company.api, nextClient, 'old-first');
    await expectOneAnswer(nextClient, company.api, 'next-first');
    await expectTaken(company.api, nextClient, 'taken-by-old');
    await expectTaken(nextClient, company.api, 'taken-by-next');

    const ofOld = await old.stop();
    const { rows } = await system.owner.query(
      'SELECT count(*)::int AS count FROM customers WHERE client_reference IS DISTINCT FROM external_reference',
    );
    expect(rows).toEqual([{ count: 0 }]);
    await migrate(CONTRACT);
    await next.untilFurther(WRITES_PER_PHASE);
    const ofNext = await next.stop();

    for (const load of [ofOld, ofNext]) {
      expect(load.failed).toEqual([]);
      for (const key of load.keys) {
        const effects = await countEffects(system.owner, { companyId: company.id, table: 'customers', key });
        expect(effects).toMatchObject({ writes: 1, rows: 1, newAudit: 1, failedAudit: 0, events: 1 });
      }
    }
  });

  async function migrate(statements: readonly string[]): Promise<void> {
    for (const statement of statements) await system.owner.query(statement);
  }
});

/** Two clients that write without a pause and without a second try. */
function startLoad(client: ApiClient, name: string) {
  const keys: string[] = [];
  const failed: string[] = [];
  let stopped = false;
  const loop = async () => {
    while (!stopped) {
      const key = `${name}-${randomUUID()}`;
      const answer = await create(client, key, key).catch(String);
      if (typeof answer === 'string') failed.push(answer);
      else if (answer.status === 201) keys.push(key);
      else failed.push(answer.text);
      await sleep(5);
    }
  };
  const loops = [loop(), loop()];
  return {
    untilFurther(count: number) {
      const goal = keys.length + failed.length + count;
      return until(`${count} more writes of ${name}`, async () => keys.length + failed.length >= goal);
    },
    async stop() {
      stopped = true;
      await Promise.all(loops);
      return { keys, failed };
    },
  };
}

const create = (client: ApiClient, key: string, externalReference: string): Promise<Answer> =>
  client.post('/api/customers', { name: 'Renamed', externalReference }, { key, headers: { prefer: 'wait=60' } });

/** What one release has written the other replays, to the byte. */
async function expectOneAnswer(writer: ApiClient, reader: ApiClient, key: string): Promise<void> {
  const first = await create(writer, key, key);
  const again = await create(reader, key, key);
  expect([first.status, first.json.externalReference, first.replayed]).toEqual([201, key, false]);
  expect([again.status, again.text, again.replayed]).toEqual([201, first.text, true]);
}

/** A reference is unique whichever release has written it. */
async function expectTaken(writer: ApiClient, other: ApiClient, reference: string): Promise<void> {
  expect((await create(writer, `${reference}-1`, reference)).status).toBe(201);
  const refused = await create(other, `${reference}-2`, reference);
  expect([refused.status, refused.json.code]).toEqual([409, 'customer_reference_taken']);
}
