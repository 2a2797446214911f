import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from './support/companies.ts';
import { countEffects } from './support/effects.ts';
import { type System, startSystem } from './support/system.ts';

const COMPANIES = 20;
const KEYS = Array.from({ length: 10 }, (_, index) => `key-${index}`);

describe('companies that use the same keys at the same moment', () => {
  let system: System;
  let companies: Company[];
  beforeAll(async () => {
    system = await startSystem();
    companies = await Promise.all(Array.from({ length: COMPANIES }, () => system.company()));
  });
  afterAll(() => system.stop());

  test('have their own writes, and nothing of one is in another', async () => {
    const storm = () =>
      Promise.all(
        companies.flatMap((company, number) =>
          KEYS.map(async (key) => {
            // The very same body in all: only the token tells whose it is.
            const answer = await company.api.post(
              '/api/customers',
              { name: `Customer of ${key}`, externalReference: key },
              { key, headers: { prefer: 'wait=60' } },
            );
            return { number, key, answer };
          }),
        ),
      );
    const firsts = await storm();
    const replays = await storm();

    expect(firsts.filter(({ answer }) => answer.status !== 201 || answer.replayed)).toEqual([]);
    expect(new Set(firsts.map(({ answer }) => answer.json.id)).size).toBe(COMPANIES * KEYS.length);
    for (const [index, { answer }] of replays.entries()) {
      expect(answer.replayed).toBe(true);
      expect(answer.text).toBe(firsts[index]?.answer.text);
    }

    for (const company of companies) {
      expect(await countEffects(system.owner, { companyId: company.id, table: 'customers' })).toMatchObject({
        writes: KEYS.length,
        rows: KEYS.length,
        newAudit: KEYS.length,
        replayedAudit: KEYS.length,
        failedAudit: 0,
        events: KEYS.length,
      });
    }
    const { rows } = await system.owner.query(
      `SELECT w.company_id, convert_from(w.response_body, 'UTF8')::jsonb ->> 'id' AS id, c.company_id AS of_company
       FROM idempotent_writes w LEFT JOIN customers c ON c.id = w.write_id`,
    );
    expect(rows).toHaveLength(COMPANIES * KEYS.length);
    for (const row of rows) {
      expect(row.of_company).toBe(row.company_id);
      const answered = firsts.find(({ answer }) => answer.json.id === row.id);
      expect(companies[answered?.number ?? -1]?.id).toBe(row.company_id);
    }
    const metrics = await (await fetch(`${system.url}/metrics`)).text();
    expect(metrics).toContain(
      `idempotent_writes_total{operation="createCustomer",type="high-risk",status="new"} ${COMPANIES * KEYS.length}`,
    );
    for (const { id } of companies) expect(metrics).not.toContain(id);
    for (const key of KEYS) expect(metrics).not.toContain(key);
  });
});
