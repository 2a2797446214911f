import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { openPool } from '../../activities/database.ts';
import { payByOperation, payBySql } from '../../deploy/load/baseline/payments.ts';
import { baselineUrl, createBaselineSchema } from '../../deploy/load/baseline/schema.ts';
import { ownerUrlOf } from '../support/commands.ts';
import { startSystem } from '../support/system.ts';

test('each baseline of the benchmark makes a whole payment in the copies of the tables, and none in ours', async () => {
  const system = await startSystem();
  onTestFinished(() => system.stop());
  const company = await system.company();
  const invoiceId = await company.invoice({ total: 10 });
  const owner = new pg.Client({ connectionString: ownerUrlOf(system.owner) });
  await owner.connect();
  onTestFinished(() => owner.end());
  await createBaselineSchema(owner, company.id);
  const { connections: pool } = openPool({
    connectionString: baselineUrl(ownerUrlOf(system.owner)),
    max: 1,
    statementTimeoutMs: 30_000,
    applicationName: 'test',
  });
  onTestFinished(() => pool.end());

  for (const pay of [payByOperation(pool, company.id), payBySql(pool, company.id)]) {
    await pay({ paymentId: randomUUID(), invoiceId });
  }

  const { rows } = await pool.query(
    `SELECT p.number, count(*)::int AS lines, sum(l.amount_minor)::int AS sum
     FROM payments p JOIN journal_lines l ON l.company_id = p.company_id AND l.entry_id = p.journal_entry_id
     GROUP BY p.number ORDER BY p.number`,
  );
  expect(rows).toEqual([1, 2].map((number) => ({ number, lines: 2, sum: 0 })));
  expect((await owner.query('SELECT FROM public.payments')).rowCount).toBe(0);
  expect((await owner.query("SELECT FROM public.number_counters WHERE kind = 'payment'")).rowCount).toBe(0);
});
