import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PAY_FREQUENCIES, type PayFrequency } from '../../activities/resources/employee.ts';
import { inForm } from '../support/form.ts';
import { type System, startSystem } from '../support/system.ts';
import { inRolledBackTransaction } from '../support/tampering.ts';

/** Which terms a period is paid by: the database against a model that has nothing of it. */
let system: System;
let companyId: string;
beforeAll(async () => {
  system = await startSystem();
  companyId = (await system.company()).id;
});
afterAll(() => system.stop());

const PERIODS: Readonly<Record<PayFrequency, number>> = { weekly: 52, biweekly: 26, semimonthly: 24, monthly: 12 };

type Terms = {
  readonly salary: number;
  readonly frequency: PayFrequency;
  readonly rate: number;
  readonly deductions: readonly { readonly name: string; readonly amount: number; readonly preTax: boolean }[];
};
type Employee = {
  readonly beginning: Terms;
  readonly later: readonly (Terms & { readonly from: string })[];
  readonly leftOn: string | null;
};
type Period = { readonly frequency: PayFrequency; readonly year: number; readonly number: number };

/** By counting days: periods of weeks lie in a row from the 1st of January, months and halves of months in the calendar. */
function beginsOn({ frequency, year, number }: Period, day: Date): boolean {
  const dayOfYear = Math.round((day.valueOf() - Date.UTC(year, 0, 1)) / 86_400_000);
  if (day.getUTCFullYear() !== year) return false;
  if (frequency === 'weekly') return dayOfYear === 7 * (number - 1);
  if (frequency === 'biweekly') return dayOfYear === 14 * (number - 1);
  if (frequency === 'monthly') return day.getUTCDate() === 1 && day.getUTCMonth() + 1 === number;
  return day.getUTCDate() === (number % 2 === 1 ? 1 : 16) && day.getUTCMonth() === Math.floor((number - 1) / 2);
}

function firstDayOf(period: Period): string {
  const days = Array.from({ length: 366 }, (_, index) => new Date(Date.UTC(period.year, 0, 1 + index)));
  const [first, second] = days.filter((day) => beginsOn(period, day));
  if (first === undefined || second !== undefined) throw new Error('A period begins once');
  return first.toISOString().slice(0, 10);
}

/** Day after day, whoever gives terms for it has the say, the later in the list the more; then they stay. */
function termsOn({ beginning, later }: Employee, day: string): Terms {
  let current = beginning;
  for (const from of [...new Set(later.map((terms) => terms.from))].toSorted()) {
    if (from > day) break;
    for (const terms of later) if (terms.from === from) current = terms;
  }
  return current;
}

/** Whom a run of the period pays, by which terms. */
function shouldPay(employees: ReadonlyMap<string, Employee>, period: Period) {
  const day = firstDayOf(period);
  const paid = [...employees].flatMap(([id, employee]) => {
    const terms = termsOn(employee, day);
    const isThere = employee.leftOn === null || employee.leftOn >= day;
    return isThere && terms.frequency === period.frequency ? [[id, terms] as const] : [];
  });
  const n = BigInt(PERIODS[period.frequency]);
  const until = (k: number, salary: number) => (BigInt(k) * BigInt(salary)) / n;
  return paid
    .map(([id, { salary, rate, deductions }]) => {
      const sum = (preTax: boolean) =>
        deductions.reduce((total, one) => total + (one.preTax === preTax ? one.amount : 0), 0);
      const gross = until(period.number, salary) - until(period.number - 1, salary);
      return [id, salary, rate, Number(gross), sum(true), sum(false)];
    })
    .toSorted(([one], [other]) => String(one).localeCompare(String(other)));
}

const frequency = fc.constantFrom(...PAY_FREQUENCIES);
const terms = fc.record({
  salary: fc.integer({ min: 1, max: 10_000_000_000_000 }),
  frequency,
  rate: fc.integer({ min: 0, max: 10_000 }),
  deductions: fc.array(
    fc.record({ name: fc.constant('Pension'), amount: fc.integer({ min: 1, max: 9_999 }), preTax: fc.boolean() }),
    { maxLength: 3 },
  ),
});
/** Days near to which periods begin, in a year with and one without the 29th of February. */
const day = fc
  .tuple(fc.constantFrom(2027, 2028), fc.integer({ min: 0, max: 365 }), fc.constantFrom(1, 7, 14, 15, 30))
  .map(([year, index, grain]) => new Date(Date.UTC(year, 0, 1 + index - (index % grain))).toISOString().slice(0, 10));
const employee: fc.Arbitrary<Employee> = fc.record({
  beginning: terms,
  later: fc.array(
    fc.tuple(terms, day).map(([one, from]) => ({ ...one, from })),
    { maxLength: 5 },
  ),
  leftOn: fc.option(day),
});
const period: fc.Arbitrary<Period> = fc
  .tuple(frequency, fc.constantFrom(2027, 2028), fc.nat({ max: 51 }))
  .map(([of, year, index]) => ({ frequency: of, year, number: 1 + (index % PERIODS[of]) }));

test('a run pays whom the model pays, by the same terms', async () => {
  const property = fc.asyncProperty(
    fc.array(employee, { minLength: 1, maxLength: 6 }),
    fc.array(period, { minLength: 10, maxLength: 10 }),
    async (employees, periods) => {
      const byId = new Map(employees.map((one) => [randomUUID(), one]));
      await inRolledBackTransaction(system.owner, async (client) => {
        for (const [id, one] of byId) await insert(client, id, one);
        for (const one of periods) expect(await paidIn(client, one)).toEqual(shouldPay(byId, one));
      });
    },
  );
  await fc.assert(property, { numRuns: inForm({ short: 60, long: 1_000 }) });
});

test('whatever frequencies follow each other, every day is paid for once', async () => {
  const seen = { taken: 0, refused: 0 };
  const property = fc.asyncProperty(employee, async ({ beginning, later }) => {
    const id = randomUUID();
    await inRolledBackTransaction(system.owner, async (client) => {
      await insert(client, id, { beginning, later: [], leftOn: null });
      // The other triggers are off.
      await client.query('ALTER TABLE employee_terms ENABLE ALWAYS TRIGGER require_frequency_of_whole_periods');
      const taken: Employee['later'][number][] = [];
      for (const one of later) {
        await client.query('SAVEPOINT terms');
        try {
          await insertTerms(client, id, one, taken.length + 1);
          taken.push(one);
        } catch (error) {
          if ((error as pg.DatabaseError).constraint !== 'pay_frequency_within_period') throw error;
          await client.query('ROLLBACK TO SAVEPOINT terms');
        }
      }
      seen.taken += taken.filter((one) => one.frequency !== beginning.frequency).length;
      seen.refused += later.length - taken.length;
      expect(timesPaid({ beginning, later: taken, leftOn: null })).toEqual([1]);
    });
  });
  await fc.assert(property, { numRuns: inForm({ short: 60, long: 1_000 }) });
  expect(Math.min(seen.taken, seen.refused)).toBeGreaterThan(0);
});

/** How often days of these years are paid for: each number that there is of a day. */
function timesPaid(one: Employee): readonly number[] {
  const times = new Map(daysBetween('2027-01-01', '2030-01-01').map((each) => [each, 0]));
  for (const { of, begin, end } of SPANS) {
    if (termsOn(one, begin).frequency !== of) continue;
    for (const each of daysBetween(begin, end)) times.set(each, (times.get(each) ?? 0) + 1);
  }
  return [...new Set(times.values())].toSorted((one, other) => one - other);
}

/** The periods of three years, each up to the first day of the next. */
const SPANS = [2027, 2028, 2029].flatMap((year) =>
  PAY_FREQUENCIES.flatMap((of) => {
    const begins = Array.from({ length: PERIODS[of] }, (_, index) =>
      firstDayOf({ frequency: of, year, number: index + 1 }),
    );
    return begins.map((begin, index) => ({ of, begin, end: begins[index + 1] ?? `${year + 1}-01-01` }));
  }),
);

/** The last one left out. */
function daysBetween(from: string, to: string): readonly string[] {
  const days = (Date.parse(to) - Date.parse(from)) / 86_400_000;
  return Array.from({ length: days }, (_, index) =>
    new Date(Date.parse(from) + index * 86_400_000).toISOString().slice(0, 10),
  );
}

test.each([2027, 2028])('the periods of %d begin one after the other, on the day that the model says', async (year) => {
  for (const of of PAY_FREQUENCIES) {
    const { rows } = await system.owner.query<{ days: string[] }>(
      'SELECT array_agg(first_day_of_period($1, $2, k)::text ORDER BY k) AS days FROM generate_series(1, $3::int) AS k',
      [of, year, PERIODS[of]],
    );
    const numbers = Array.from({ length: PERIODS[of] }, (_, index) => index + 1);
    expect(rows[0]?.days).toEqual(numbers.map((number) => firstDayOf({ frequency: of, year, number })));
  }
});

async function insert(client: pg.ClientBase, id: string, { beginning, later, leftOn }: Employee): Promise<void> {
  await client.query(
    `INSERT INTO employees (company_id, id, first_name, last_name, email, annual_salary_minor, currency, pay_frequency,
       tax_rate_basis_points, left_on) VALUES ($1, $2, 'Sam', 'Example', $2::uuid || '@example.test', $3, 'USD', $4, $5, $6)`,
    [companyId, id, beginning.salary, beginning.frequency, beginning.rate, leftOn],
  );
  for (const [index, { name, amount, preTax }] of beginning.deductions.entries()) {
    await client.query('INSERT INTO employee_deductions VALUES ($1, $2, $3, $4, $5, $6)', [
      companyId,
      id,
      index + 1,
      name,
      amount,
      preTax,
    ]);
  }
  for (const [index, one] of later.entries()) await insertTerms(client, id, one, index + 1);
}

async function insertTerms(client: pg.ClientBase, id: string, one: Employee['later'][number], version: number) {
  await client.query(
    `INSERT INTO employee_terms (company_id, id, employee_id, version, effective_from, annual_salary_minor, currency,
       pay_frequency, tax_rate_basis_points, deductions) VALUES ($1, gen_random_uuid(), $2, $3, $4, $5, 'USD', $6, $7, $8)`,
    [companyId, id, version, one.from, one.salary, one.frequency, one.rate, JSON.stringify(one.deductions)],
  );
}

async function paidIn(client: pg.ClientBase, { frequency: of, year, number }: Period): Promise<unknown[]> {
  const { rows } = await client.query<unknown[]>({
    text: `SELECT p.employee_id, p.annual_salary_minor::text, p.tax_rate_basis_points::text, p.gross_minor::text,
        p.pre_tax_deductions_minor::text, p.post_tax_deductions_minor::text
      FROM pay_of_period(
        p_company => $1, p_frequency => $2, p_year => $3, p_period => $4, p_employer_rate => 765,
        p_employees => lock_employees_to_pay($1, $2, $3, $4, NULL)) AS p
      ORDER BY 1`,
    values: [companyId, of, year, number],
    rowMode: 'array',
  });
  return rows.map(([id, ...amounts]) => [id, ...amounts.map(Number)]);
}
