import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openUpgrade, type Upgrade } from '../support/upgrade.ts';

let upgrade: Upgrade;
beforeAll(async () => {
  upgrade = await openUpgrade();
});
afterAll(() => upgrade.drop());

/** What the release before sends, as it has prepared it. */
const PAY_OF_BEFORE = `
  SELECT p.employee_id, p.annual_salary_minor, p.tax_rate_basis_points, p.gross_minor, p.pre_tax_deductions_minor,
    p.tax_minor, p.post_tax_deductions_minor, p.net_minor, p.employer_tax_minor
  FROM pay_of_period(p_company => $1, p_frequency => $2, p_period => $3, p_employees => $4, p_employer_rate => $5) AS p`;
const MAKE_RUN_OF_BEFORE = `
  WITH run AS (
    INSERT INTO pay_runs (company_id, id, status, pay_frequency, year, period_number, pay_date, currency, employee_count,
      gross_minor, pre_tax_deductions_minor, tax_minor, post_tax_deductions_minor, net_minor, employer_tax_minor, created_by)
    SELECT $1, $6, 'approved', $2, 2026, $3, '2026-01-30', 'USD', count(*), sum(p.gross_minor),
      sum(p.pre_tax_deductions_minor), sum(p.tax_minor), sum(p.post_tax_deductions_minor), sum(p.net_minor),
      sum(p.employer_tax_minor), $7
    FROM (${PAY_OF_BEFORE}) AS p
  )
  INSERT INTO payslips (company_id, pay_run_id, employee_id, pay_frequency, year, period_number, currency,
    annual_salary_minor, tax_rate_basis_points, employer_tax_rate_basis_points, gross_minor, pre_tax_deductions_minor,
    tax_minor, post_tax_deductions_minor, net_minor, employer_tax_minor)
  SELECT $1, $6, p.employee_id, $2, 2026, $3, 'USD', p.annual_salary_minor, p.tax_rate_basis_points, $5, p.gross_minor,
    p.pre_tax_deductions_minor, p.tax_minor, p.post_tax_deductions_minor, p.net_minor, p.employer_tax_minor
  FROM (${PAY_OF_BEFORE}) AS p`;

test('employees keep their terms from the beginning, executed runs can be voided, and the release before goes on', async () => {
  await upgrade.migrateUpTo('pay_run_voids_and_terms');
  const { client } = upgrade;
  const { rows: made } = await client.query(
    `SELECT company_id, user_id FROM create_company('Acme', 'o@example.test', 'USD')`,
  );
  const { company_id: company, user_id: user } = made[0];
  const [employee, other] = [randomUUID(), randomUUID()].toSorted() as [string, string];
  for (const id of [employee, other]) {
    await client.query(
      `INSERT INTO employees (company_id, id, first_name, last_name, email, annual_salary_minor, currency, pay_frequency,
         tax_rate_basis_points) VALUES ($1, $2, 'Sam', 'Example', $2::uuid || '@example.test', 1200, 'USD', 'monthly', 1000)`,
      [company, id],
    );
    await client.query(`INSERT INTO employee_deductions VALUES ($1, $2, 1, 'Pension', 7, true)`, [company, id]);
  }
  const makeRun = (period: number, employees = [employee, other], id = randomUUID()) =>
    client
      .query({
        name: 'make-run-of-before',
        text: MAKE_RUN_OF_BEFORE,
        values: [company, 'monthly', period, employees, 765, id, user],
      })
      .then(() => id);
  const paid = await makeRun(1);
  await upgrade.pastTriggers(async () => {
    const entry = `(SELECT gen_random_uuid())`;
    await client.query(
      `UPDATE pay_runs SET status = 'executed', executed_by = created_by, journal_entry_id = ${entry} WHERE id = $1`,
      [paid],
    );
    await client.query(
      `INSERT INTO paid_periods (company_id, employee_id, year, pay_frequency, period_number, pay_run_id)
       SELECT company_id, employee_id, year, pay_frequency, period_number, pay_run_id FROM payslips`,
    );
  });
  const before = await client.query('SELECT * FROM payslips ORDER BY 1, 2, 3');

  await upgrade.migrateTheRest();
  expect((await client.query('SELECT * FROM payslips ORDER BY 1, 2, 3')).rows).toEqual(before.rows);
  const { rows: runs } = await client.query(
    'SELECT status, voided_on, void_reason, voided_by, void_entry_id FROM pay_runs',
  );
  expect(runs).toEqual([
    { status: 'executed', voided_on: null, void_reason: null, voided_by: null, void_entry_id: null },
  ]);
  const { rows: unchecked } = await client.query('SELECT conname FROM pg_constraint WHERE NOT convalidated');
  expect(unchecked).toEqual([]);
  // From the first year on, and in the last.
  for (const [year, period] of [
    [1900, 1],
    [2026, 7],
    [2999, 12],
  ]) {
    const { rows } = await client.query(
      `SELECT employee_id, annual_salary_minor::int, pre_tax_deductions_minor::int AS pre_tax, has_left
       FROM pay_of_period(p_company => $1, p_frequency => 'monthly', p_year => $2, p_period => $3, p_employees => $4,
         p_employer_rate => 765) ORDER BY 1`,
      [company, year, period, [employee, other]],
    );
    const same = { annual_salary_minor: 1200, pre_tax: 7, has_left: false };
    expect(rows).toEqual([employee, other].map((id) => ({ employee_id: id, ...same })));
  }
  // A process of the release before makes runs of those whose terms have not changed, and none of the others.
  await makeRun(2);
  await upgrade.pastTriggers(() =>
    client.query(
      `INSERT INTO employee_terms (company_id, id, employee_id, version, effective_from, annual_salary_minor, currency,
         pay_frequency, tax_rate_basis_points, deductions)
       VALUES ($1, gen_random_uuid(), $2, 1, '2026-04-01', 2400, 'USD', 'monthly', 1000, '[]')`,
      [company, employee],
    ),
  );
  await makeRun(3);
  await makeRun(4, [other]);
  await expect(makeRun(4)).rejects.toMatchObject({ constraint: 'payslip_has_terms_of_period' });
  await client.query(`UPDATE employees SET left_on = '2026-04-30' WHERE id = $1`, [other]);
  await expect(makeRun(5, [other])).rejects.toMatchObject({ constraint: 'payslip_has_terms_of_period' });
});
