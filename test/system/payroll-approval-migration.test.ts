import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openUpgrade, type Upgrade } from '../support/upgrade.ts';

let upgrade: Upgrade;
beforeAll(async () => {
  upgrade = await openUpgrade();
});
afterAll(() => upgrade.drop());

type Before = {
  readonly demandedToday: boolean;
  readonly askedForDraft: boolean;
  readonly status: 'draft' | 'approved' | 'executed';
  readonly approvedBy?: 'creator' | 'other';
  readonly executedBy?: 'creator' | 'other';
};

const RUNS: readonly (readonly [string, Before, boolean])[] = [
  ['approved at once', { demandedToday: true, askedForDraft: false, status: 'approved' }, false],
  [
    'approved at once and executed',
    { demandedToday: true, askedForDraft: false, status: 'executed', executedBy: 'creator' },
    false,
  ],
  ['a draft by demand', { demandedToday: false, askedForDraft: false, status: 'draft' }, true],
  ['a draft by request', { demandedToday: false, askedForDraft: true, status: 'draft' }, false],
  ['a draft by request, demanded today', { demandedToday: true, askedForDraft: true, status: 'draft' }, true],
  [
    'made under a demand, approved by its creator when it was switched off',
    { demandedToday: false, askedForDraft: false, status: 'approved', approvedBy: 'creator' },
    true,
  ],
  [
    'made under a demand, executed by its creator when it was switched off',
    { demandedToday: false, askedForDraft: false, status: 'executed', approvedBy: 'other', executedBy: 'creator' },
    false,
  ],
  [
    'executed as demanded',
    { demandedToday: false, askedForDraft: false, status: 'executed', approvedBy: 'other', executedBy: 'other' },
    true,
  ],
];

test('the runs that are there get the demand under which they were made, and the release before goes on', async () => {
  await upgrade.migrateUpTo('payroll_approval');
  const { client } = upgrade;
  const ids = new Map<string, string>();
  await upgrade.pastTriggers(async () => {
    for (const [name, before] of RUNS) ids.set(name, await insertRun(before));
  });
  const some = ids.get('approved at once') as string;
  const asBefore = {
    name: 'prepared-by-the-release-before',
    text: 'SELECT (l.run).*, l.approval_required FROM lock_pay_run($1, $2) AS l',
    values: [await companyOf(some), some],
  };
  const { rows: locked } = await client.query(asBefore);
  expect(locked).toHaveLength(1);

  await upgrade.migrateTheRest();
  const { rows } = await client.query<{ id: string; approval_required: boolean }>(
    'SELECT id, approval_required FROM pay_runs',
  );
  const pinned = new Map(rows.map((row) => [row.id, row.approval_required]));
  expect(RUNS.map(([name]) => [name, pinned.get(ids.get(name) as string)])).toEqual(
    RUNS.map(([name, , demanded]) => [name, demanded]),
  );
  expect((await client.query(asBefore)).rows).toEqual([{ ...locked[0], approval_required: false }]);
});

/** A run in a company of its own. Answers its ID. */
async function insertRun({ demandedToday, askedForDraft, status, approvedBy, executedBy }: Before): Promise<string> {
  const [company, id, creator, other] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
  const { client } = upgrade;
  const who = (one: 'creator' | 'other' | undefined) => (one === undefined ? null : { creator, other }[one]);
  await client.query(
    `INSERT INTO companies (id, name, base_currency, pay_run_approval_required) VALUES ($1, 'Acme', 'USD', $2)`,
    [company, demandedToday],
  );
  await client.query(
    `INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
       schema_version, request, user_id, request_id, requested_at)
     VALUES ($1, 'K', $2, $2, 'createPayRun', 'financial', repeat('0', 64), 1, $3, $4, 'R', now())`,
    [company, id, { params: {}, body: { asDraft: askedForDraft } }, creator],
  );
  await client.query(
    `INSERT INTO pay_runs (company_id, id, status, pay_frequency, year, period_number, pay_date, currency, employee_count,
       gross_minor, pre_tax_deductions_minor, tax_minor, post_tax_deductions_minor, net_minor, employer_tax_minor,
       created_by, approved_by, executed_by, journal_entry_id)
     VALUES ($1, $2, $3, 'monthly', 2026, 1, '2026-01-30', 'USD', 1, 1, 0, 0, 0, 1, 0, $4, $5, $6,
       CASE $3 WHEN 'executed' THEN gen_random_uuid() END)`,
    [company, id, status, creator, who(approvedBy), who(executedBy)],
  );
  return id;
}

async function companyOf(runId: string): Promise<unknown> {
  const { rows } = await upgrade.client.query<{ company_id: string }>('SELECT company_id FROM pay_runs WHERE id = $1', [
    runId,
  ]);
  return rows[0]?.company_id;
}
