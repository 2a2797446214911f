import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

/** As many workflows as writes take their time: the full hundred companies and fifty keys go in groups. */
const STORMS = [
  { grouping: 'off', companyCount: 20, keyCount: 10 },
  { grouping: 'on', companyCount: 100, keyCount: 50 },
] as const;
/** Keys that all companies send at once; sockets are not without end. */
/** 10,000 requests, on whatever machine. */
const STORM_TIMEOUT_MS = 240_000;
const KEYS_AT_ONCE = 10;

describe.each(STORMS)('$companyCount companies, grouping $grouping', ({ grouping, companyCount, keyCount }) => {
  const keys = Array.from({ length: keyCount }, (_, index) => `key-${index}`);
  let system: System;
  let companies: Company[];
  beforeAll(async () => {
    system = await startSystem({ environment: { WRITE_GROUPING: grouping } });
    companies = await Promise.all(Array.from({ length: companyCount }, () => system.company()));
  });
  afterAll(() => system.stop());

  test(
    'that use the same keys at the same moment have their own writes, and nothing of one is in another',
    async () => {
      async function storm() {
        const answered: { number: number; answer: Answer }[] = [];
        for (let first = 0; first < keyCount; first += KEYS_AT_ONCE) {
          const sent = keys
            .slice(first, first + KEYS_AT_ONCE)
            .flatMap((key) =>
              companies.map(async (company, number) => ({ number, answer: await create(company, key) })),
            );
          answered.push(...(await Promise.all(sent)));
        }
        return answered;
      }
      // The very same body in all: only the token tells whose it is.
      const create = (company: Company, key: string) =>
        company.api.post(
          '/api/customers',
          { name: `Customer of ${key}`, externalReference: key },
          { key, headers: { prefer: 'wait=60' } },
        );
      const firsts = await storm();
      const replays = await storm();

      expect(firsts.filter(({ answer }) => answer.status !== 201 || answer.replayed)).toEqual([]);
      expect(new Set(firsts.map(({ answer }) => answer.json.id)).size).toBe(companyCount * keyCount);
      for (const [index, { answer }] of replays.entries()) {
        expect(answer.replayed).toBe(true);
        expect(answer.text).toBe(firsts[index]?.answer.text);
      }

      for (const company of companies) {
        expect(await countEffects(system.owner, { companyId: company.id, table: 'customers' })).toMatchObject({
          writes: keyCount,
          rows: keyCount,
          newAudit: keyCount,
          replayedAudit: keyCount,
          failedAudit: 0,
          events: keyCount,
        });
      }
      const { rows } = await system.owner.query(
        `SELECT w.company_id, convert_from(w.response_body, 'UTF8')::jsonb ->> 'id' AS id, c.company_id AS of_company
       FROM idempotent_writes w LEFT JOIN customers c ON c.id = w.write_id`,
      );
      expect(rows).toHaveLength(companyCount * keyCount);
      const answeredTo = new Map(firsts.map(({ number, answer }) => [answer.json.id, companies[number]?.id]));
      const strays = rows.filter(
        (row) => row.of_company !== row.company_id || answeredTo.get(row.id) !== row.company_id,
      );
      expect(strays).toEqual([]);
      const metrics = await (await fetch(`${system.url}/metrics`)).text();
      expect(metrics).toContain(
        `idempotent_writes_total{operation="createCustomer",type="high-risk",status="new"} ${companyCount * keyCount}`,
      );
      for (const { id } of companies) expect(metrics).not.toContain(id);
      for (const key of keys) expect(metrics).not.toContain(key);
    },
    STORM_TIMEOUT_MS,
  );
});
