import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';

describe('plans by key', () => {
  let clone: TestDatabase;
  let client: pg.Client;
  let company: { company_id: string; user_id: string };
  beforeAll(async () => {
    clone = await cloneDatabase();
    const { rows } = await clone.owner.query("SELECT * FROM create_company('Plans Ltd', 'plans@example.test', 'USD')");
    company = rows[0];
    client = new pg.Client({ connectionString: clone.appUrl });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await clone.drop();
  });

  /** What the statements after this one are planned by, and whom they are for. */
  async function settingsAfter(sql: string, values: readonly unknown[]) {
    await client.query('BEGIN');
    try {
      await client.query(sql, [...values]);
      const { rows } = await client.query(
        `SELECT current_setting('enable_seqscan') AS seqscan, current_setting('plan_cache_mode') AS mode,
           current_setting('role') AS role, current_company() AS company`,
      );
      return rows[0];
    } finally {
      await client.query('ROLLBACK');
    }
  }
  const entered = () => ({ role: 'accubooks_app', company: company.company_id });

  test('are for the statements of a write', async () => {
    const [key, id] = [randomUUID(), randomUUID()];
    const values = [company.company_id, key, id, id, 'createCustomer', 'high-risk', 'a'.repeat(64), company.user_id];
    const claim = `SELECT * FROM claim_write($1, $2, $3, $4, $5, $6, $7, 1, '{"params":{},"body":{}}', $8, 'r', 'w', 1, now())`;
    expect(await settingsAfter(claim, values)).toEqual({ seqscan: 'off', mode: 'force_generic_plan', ...entered() });
  });

  test('are not for the list or the report that follows the look-up of its reader', async () => {
    const values = [company.company_id, company.user_id];
    const lookup = 'SELECT * FROM lookup_write($1, $2, NULL)';
    expect(await settingsAfter(lookup, values)).toEqual({ seqscan: 'on', mode: 'auto', ...entered() });
  });
});
