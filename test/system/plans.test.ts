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

  test('find the rows of a set by their keys, also those that were made while the table was small', async () => {
    const made = async (keys: readonly string[]) => {
      const items = keys.map((key) => ({ ...ITEM, key, write_id: randomUUID(), user_id: company.user_id }));
      const args = [company.company_id, 'createCustomer', 'high-risk'];
      await client.query(`SELECT * FROM claim_writes($1, $2, $3, 'w', now(), $4)`, [...args, JSON.stringify(items)]);
      await client.query(`SELECT finish_writes($1, $2, $3, 'customer', 'customer.created', $4, NULL, 0)`, [
        ...args,
        JSON.stringify(items),
      ]);
    };
    const lookedUp = (key: string) =>
      client.query('SELECT * FROM lookup_writes($1, $2, $3)', [[company.company_id], [company.user_id], [key]]);
    /** How many rows of the table the work has read. */
    const rowsRead = async (work: () => Promise<unknown>) => {
      await client.query('BEGIN');
      await work();
      const { rows } = await client.query(
        `SELECT (seq_tup_read + idx_tup_fetch)::int AS read FROM pg_stat_xact_user_tables
         WHERE relname = 'idempotent_writes'`,
      );
      // Otherwise the next transaction counts on from here.
      await client.query('SELECT pg_stat_force_next_flush()');
      await client.query('COMMIT');
      return rows[0].read;
    };
    const few = [await rowsRead(() => made(['first'])), await rowsRead(() => lookedUp('first'))];
    await rowsRead(() => made(Array.from({ length: 500 }, (_, index) => `many-${index}`)));
    const many = [await rowsRead(() => made(['last'])), await rowsRead(() => lookedUp('many-3'))];
    expect(many).toEqual(few);
  });
});

const ITEM = {
  submission_id: randomUUID(),
  fingerprint: 'a'.repeat(64),
  schema_version: 1,
  request: { params: {}, body: {} },
  request_id: 'r',
  outcome: 'rejected',
  status_code: 409,
  body: '{}',
  error_code: 'customer_reference_taken',
  error_message: 'Taken.',
  route_path: '/api/customers',
  http_method: 'POST',
  audit_metadata: {},
};
