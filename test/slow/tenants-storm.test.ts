import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { untilFinal } from '../support/persistent.ts';
import { type System, startSystem } from '../support/system.ts';

/** With grouping off each write is a workflow, which takes its time: the hundred companies with fifty keys go in groups. */
const STORMS = inForm({
  short: [
    { grouping: 'off', companyCount: 8, keyCount: 4 },
    { grouping: 'on', companyCount: 20, keyCount: 10 },
  ],
  long: [
    { grouping: 'off', companyCount: 20, keyCount: 10 },
    { grouping: 'on', companyCount: 100, keyCount: 50 },
  ],
});
/** 10,000 requests, on whatever machine. */
const STORM_TIMEOUT_MS = 300_000;
/** Keys that all companies send at once: there are not as many sockets as one likes. */
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
        const answered: { number: number; answer: Answer; before: readonly string[] }[] = [];
        for (let first = 0; first < keyCount; first += KEYS_AT_ONCE) {
          const sent = keys.slice(first, first + KEYS_AT_ONCE).flatMap((key) =>
            companies.map(async (company, number) => {
              // On a busy machine some are refused at first (503), and sent again.
              const { final: answer, before } = await untilFinal(() => create(company, key));
              return { number, answer, before };
            }),
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

      expect(firsts.filter(({ answer }) => answer.status !== 201)).toEqual([]);
      // The first answer may have been a refusal after the start: then the write replays.
      expect(firsts.filter(({ answer, before }) => answer.replayed && before.length === 0)).toEqual([]);
      expect(new Set(firsts.map(({ answer }) => answer.json.id)).size).toBe(companyCount * keyCount);
      for (const [index, { answer }] of replays.entries()) {
        expect(answer.replayed).toBe(true);
        expect(answer.text).toBe(firsts[index]?.answer.text);
      }

      for (const [number, company] of companies.entries()) {
        const effects = await countEffects(system.owner, { companyId: company.id, table: 'customers' });
        expect(effects).toMatchObject({
          writes: keyCount,
          rows: keyCount,
          newAudit: keyCount,
          failedAudit: 0,
          events: keyCount,
        });
        const answers = [...firsts, ...replays].filter((one) => one.number === number);
        const replayed = answers.filter(({ answer }) => answer.replayed).length;
        expect(effects.replayedAudit).toBeGreaterThanOrEqual(replayed);
        // Who was refused after its replay had been written down is counted twice.
        expect(effects.replayedAudit).toBeLessThanOrEqual(replayed + answers.flatMap(({ before }) => before).length);
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
