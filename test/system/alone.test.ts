import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

const PATIENCE_MS = 20_000;

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  const superuser = new pg.Client({ connectionString: inject('superuserUrl') });
  await superuser.connect();
  const { rows } = await system.owner.query('SELECT current_database() AS name');
  await superuser.query(`ALTER DATABASE ${rows[0].name} SET track_functions = 'pl'`);
  await superuser.end();
  company = await system.company();
});
afterAll(() => system.stop());

/** How often sets were claimed, by the sessions that have ended: they tell it then. */
async function claimedSets(): Promise<number> {
  const { rows } = await system.owner.query(
    "SELECT calls::int AS calls FROM pg_stat_user_functions WHERE funcname = 'claim_writes'",
  );
  return rows[0]?.calls ?? 0;
}

test('a write that travels alone is a set of one, and is claimed once; its replay claims nothing', async () => {
  const invoiceId = await company.invoice();
  const api = await system.another();
  const pay = () => company.as('owner', api.url).post('/api/payments', paymentBody(invoiceId, 1), { key: 'alone' });
  expect([(await pay()).status, (await pay()).replayed]).toEqual([201, true]);
  await api.close();
  await until('the sessions to tell', async () => (await claimedSets()) > 0, PATIENCE_MS);
  expect(await claimedSets()).toBe(1);
});
