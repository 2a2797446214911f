import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { publishHeads } from '../../activities/seal/heads.ts';
import { signingKey } from '../../activities/seal/signing-key.ts';
import { type Actors, actors } from '../support/actors.ts';
import { decide, setPolicies } from '../support/approvals.ts';
import { batchClient, startBatchWorker } from '../support/batches.ts';
import {
  amountsWithoutCheck,
  columnsWithoutSizeLimit,
  companyTables,
  foreignKeysWithoutCompany,
  looserPolicies,
  privilegesOf,
  sharedTables,
  tablesWithoutForcedRowSecurity,
} from '../support/catalog.ts';
import type { Company } from '../support/companies.ts';
import { openExamples, sendAs } from '../support/examples.ts';
import { openSealer, sealAll } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let sql: Actors;
let one: Company;
let other: Company;
beforeAll(async () => {
  system = await startSystem();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  [one, other] = [await system.company('One Ltd'), await system.company('Other Ltd')];
  // Every operation by its example, so that a table which is new has rows as well.
  const examples = await openExamples(system);
  for (const company of [one, other]) {
    for (const operation of OPERATIONS) {
      const { status, text } = await sendAs(company, 'owner', await examples.make(operation, company));
      if (status !== operation.successStatus) throw new Error(`${operation.name} answers ${status} ${text}`);
    }
  }
  await examples.close();
  const worker = await startBatchWorker(system);
  for (const company of [one, other]) {
    const { id } = company;
    await haveSomethingWait(company);
    await system.owner.query(
      "INSERT INTO reopened_runs (company_id, idempotency_key, workflow_id) VALUES ($1, 'reopened', 'group')",
      [id],
    );
    await system.owner.query(
      "INSERT INTO workflow_results (company_id, trigger_id, result) SELECT company_id, id, '{}' FROM workflow_triggers WHERE company_id = $1",
      [id],
    );
    await system.owner.query(
      "INSERT INTO security_log (company_id, event, reason) VALUES ($1, 'access_refused', 'forbidden')",
      [id],
    );
  }
  await worker.close();
  const sealer = openSealer(system);
  await sealAll(sealer);
  await publishHeads(sealer, signingKey().parse(`test:${Buffer.alloc(32).toString('base64')}`));
  await sealer.close();
  // As after a restore, and with the stamps of an authority.
  await system.owner.query(`
    INSERT INTO seal_epoch_starts (epoch, company_id, log, number, digest)
    SELECT 1, id, 'journal', 1, sha256('') FROM companies;
    INSERT INTO seal_evidence (company_id, log, position, kind, evidence, proves_at)
    SELECT company_id, log, position, 'time-stamp', 'token', now() FROM seal_heads`);
});
afterAll(async () => {
  await sql?.end();
  await system.stop();
});

/** A row of a batch that one person has approved, of the two that it needs. */
async function haveSomethingWait(company: Company): Promise<void> {
  await setPolicies(company, [{ operation: 'createCustomer', approverRoles: ['admin', 'accountant'], count: 2 }]);
  const batches = batchClient(system, company);
  await batches.send('{"key":"waits","body":{"name":"Waits"}}', { key: 'sent', operation: 'createCustomer' });
  await batches.over('sent');
  const { status, json } = await decide(company, 'waits', 'approve');
  if (json.state !== 'pending_approval') throw new Error(`The approval answers ${status} ${JSON.stringify(json)}`);
}

const UNKNOWN_COMPANY = '00000000-0000-4000-8000-000000000000';

/** How many rows a table shows to the application, by the company that they are of. */
async function visible(table: string, companyId: string | undefined): Promise<Record<string, number>> {
  const column = table === 'companies' ? 'id' : 'company_id';
  return sql.as('application', companyId, async (client) => {
    const { rows } = await client.query(`SELECT ${column} AS id, count(*)::int AS n FROM ${table} GROUP BY 1`);
    return Object.fromEntries(rows.map((row) => [row.id, row.n]));
  });
}

async function existing(table: string, companyId: string): Promise<number> {
  const column = table === 'companies' ? 'id' : 'company_id';
  const { rows } = await system.owner.query(`SELECT count(*)::int AS n FROM ${table} WHERE ${column} = $1`, [
    companyId,
  ]);
  return rows[0].n;
}

describe('the application sees the rows of its company and no others', () => {
  test('in each table that the catalog knows, and without a company none at all', async () => {
    const tables = await companyTables(system.owner);
    expect(tables).toContain('journal_lines');
    for (const table of tables) {
      // A table without rows of the other company would say nothing here: let the setup make some.
      expect({ table, others: (await existing(table, other.id)) > 0 }).toEqual({ table, others: true });
      expect({ table, seen: await visible(table, undefined) }).toEqual({ table, seen: {} });
      expect({ table, seen: await visible(table, UNKNOWN_COMPANY) }).toEqual({ table, seen: {} });
      const own = { [one.id]: await existing(table, one.id) };
      expect({ table, seen: await visible(table, one.id) }).toEqual({ table, seen: own });
    }
  });

  test('also after another transaction of the same connection had a company', async () => {
    const client = new pg.Client({ connectionString: system.environment['DATABASE_URL'] });
    await client.connect();
    try {
      const count = async () => (await client.query('SELECT count(*)::int AS n FROM accounts')).rows[0].n;
      await client.query('BEGIN');
      await client.query('SELECT enter_company($1)', [one.id]);
      expect(await count()).toBe(await existing('accounts', one.id));
      await client.query('COMMIT');
      expect(await count()).toBe(0);
    } finally {
      await client.end();
    }
  });

  test('and writes none of another company, whatever the statement says', async () => {
    for (const table of await companyTables(system.owner)) {
      const column = table === 'companies' ? 'id' : 'company_id';
      const inserting = sql.as('application', one.id, (client) =>
        client.query(`INSERT INTO ${table} (${column}) VALUES ($1)`, [other.id]),
      );
      const refusal = await inserting.catch(({ code }) => ({ table, code }));
      expect(refusal).toEqual({ table, code: '42501' });
    }
    const changed = await sql.as('application', one.id, async (client) => {
      const { rowCount } = await client.query('UPDATE invoices SET paid_minor = 0 WHERE company_id = $1', [other.id]);
      return rowCount;
    });
    expect(changed).toBe(0);
  });

  test('of people, it sees those who are members', async () => {
    const emails = await sql.as('application', one.id, async (client) =>
      (await client.query('SELECT id FROM users')).rows.map(({ id }) => id as string),
    );
    const { rows } = await system.owner.query('SELECT user_id FROM memberships WHERE company_id = $1', [one.id]);
    const members: string[] = rows.map(({ user_id: id }) => id);
    expect(members).toEqual(expect.arrayContaining(Object.values(one.users).map(({ id }) => id)));
    expect(emails.toSorted()).toEqual(members.toSorted());
  });
});

describe('every table of a company, today’s and tomorrow’s,', () => {
  test('has its row-level security forced, and knows its company', async () => {
    expect(await tablesWithoutForcedRowSecurity(system.owner)).toEqual([]);
  });

  test('is read and written through one policy, which asks for the company', async () => {
    expect(await looserPolicies(system.owner)).toEqual([]);
  });

  test('points only at rows of its own company', async () => {
    expect(await foreignKeysWithoutCompany(system.owner)).toEqual([]);
  });

  test('says which amounts are possible', async () => {
    expect(await amountsWithoutCheck(system.owner)).toEqual([]);
  });

  test('limits each text and each document', async () => {
    expect(await columnsWithoutSizeLimit(system.owner)).toEqual([]);
  });

  test('is found when it lacks any of this', async () => {
    const client = await system.owner.connect();
    try {
      await client.query(`BEGIN;
        CREATE TABLE planted_target (company_id uuid NOT NULL, id uuid PRIMARY KEY);
        CREATE POLICY all_of_them ON planted_target USING (true);
        CREATE TABLE planted (company_id uuid, target_id uuid REFERENCES planted_target, note text,
          code text CHECK (code <> ''), total_minor bigint, rate numeric, body jsonb)`);
      expect(await tablesWithoutForcedRowSecurity(client)).toEqual(
        expect.arrayContaining([
          'planted: row-level security is not enabled and forced',
          'planted: company_id may be NULL',
        ]),
      );
      expect(await looserPolicies(client)).toEqual([
        'planted: the application has no policy',
        'planted_target: all_of_them does not ask for the company alone',
      ]);
      expect(await foreignKeysWithoutCompany(client)).toEqual([
        'planted: planted_target_id_fkey does not carry company_id',
      ]);
      expect(await amountsWithoutCheck(client)).toEqual([
        'planted.total_minor: no CHECK says which amounts are possible',
        'planted.rate: no CHECK says which amounts are possible',
      ]);
      expect(await columnsWithoutSizeLimit(client)).toEqual(
        ['body', 'code', 'note'].map((name) => `planted.${name}: no CHECK limits its size`),
      );
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  test('is one of a company, or is known to be shared', async () => {
    // People belong to several companies, and are seen by membership; the records of migrations and of archived months are
    // the owner's alone, and so are erasures and audits, which may be of several; which server was verified, who starts groups,
    // which tokens are revoked, what signs cursors and heads, and where the sealer is says nothing of any company.
    const shared = [
      ...[
        'audit_archives',
        'audit_runs',
        'cursor_key',
        'erasing_resources',
        'erasing_writes',
        'erasures',
        'lanes',
        'operator_verifications',
        'revoked_tokens',
      ],
      ...['schema_migrations', 'seal_epochs', 'seal_keys', 'seal_position', 'users', 'verification'],
    ];
    expect(await sharedTables(system.owner)).toEqual(shared);
  });
});

describe('each role has its part and no more', () => {
  const allTables = async () =>
    [
      ...(await companyTables(system.owner)),
      ...['audit_runs', 'erasures', 'operator_verifications', 'revoked_tokens'],
      ...['seal_epochs', 'seal_keys', 'seal_position', 'users'],
    ].sort();

  test('the auditor reads all companies and changes nothing', async () => {
    const tables = await allTables();
    expect(await privilegesOf(system.owner, 'accubooks_auditor')).toEqual(
      tables.map((table) => `SELECT public.${table}`),
    );
    await as('accubooks_auditor', async (client) => {
      for (const table of tables) {
        const { rows } = await client.query(`SELECT count(*)::int AS n FROM ${table}`);
        const { rows: all } = await system.owner.query(`SELECT count(*)::int AS n FROM ${table}`);
        expect({ table, rows }).toEqual({ table, rows: all });
      }
    });
  });

  test('the relay sees events, batches and what waits of all companies and marks them, nothing else', async () => {
    expect(await privilegesOf(system.owner, 'accubooks_relay')).toEqual([
      // What is kept no longer goes: uploads, and batches that were never sent whole. The triggers keep the others.
      ...['DELETE public.batch_chunks', 'DELETE public.batches'],
      // What is asked for, and how it was decided and with which roles; not the write, nor who asks and who decides.
      ...['company_id', 'decided_at', 'decision', 'idempotency_key', 'roles'].map(
        (column) => `SELECT public.approval_decisions (${column})`,
      ),
      ...[
        ...['approved_by', 'closed_at', 'company_id', 'demands', 'expires_at', 'idempotency_key', 'pending_since'],
        ...['woken_at'],
      ].map((column) => `SELECT public.approval_requests (${column})`),
      // What the last audit has found, for the metrics.
      ...['could_not_ask', 'ended_at', 'finding_count', 'scope'].map(
        (column) => `SELECT public.audit_runs (${column})`,
      ),
      // How a chunk stands; not what is in its rows.
      ...['batch_id', 'chunk', 'claimed_run', 'company_id', 'is_kept', 'pending', 'stored_at', 'upload_id'].map(
        (column) => `SELECT public.batch_chunks (${column})`,
      ),
      'SELECT public.batches',
      // Where events go to, and with which secret they are signed; of no other setting.
      ...['id', 'webhook_secret_rotated_at', 'webhook_secret_version', 'webhook_url'].map(
        (column) => `SELECT public.companies (${column})`,
      ),
      'SELECT public.outbox',
      // Since when there are audits.
      ...['applied_at', 'name'].map((column) => `SELECT public.schema_migrations (${column})`),
      // With which time stamps heads are told to a webhook.
      'SELECT public.seal_evidence',
      // Whether the server may give out numbers of events.
      'SELECT public.verification',
      'UPDATE public.approval_requests (woken_at)',
      ...['content', 'is_kept'].map((column) => `UPDATE public.batch_chunks (${column})`),
      'UPDATE public.batches (woken_at)',
      ...[
        ...['asked_at', 'attempts', 'batch_id', 'delivered_at', 'delivery_state', 'first_attempt_at', 'last_error'],
        ...['next_attempt_at', 'sequence', 'started_at'],
      ].map((column) => `UPDATE public.outbox (${column})`),
    ]);
    await as('accubooks_relay', async (client) => {
      const { rows } = await client.query('SELECT DISTINCT company_id FROM outbox');
      expect(rows).toHaveLength(2);
      const { rowCount } = await client.query('UPDATE outbox SET started_at = now(), delivered_at = now()');
      expect(rowCount).toBeGreaterThan(2);
      const { rows: woken } = await client.query(
        'UPDATE approval_requests SET woken_at = now() RETURNING company_id, (SELECT count(*)::int FROM approval_decisions) AS decisions',
      );
      expect(woken).toEqual(expect.arrayContaining([one, other].map(({ id }) => ({ company_id: id, decisions: 2 }))));
    });
  });

  test('maintenance makes partitions and reads only the public keys of the seal and whether it sweeps', async () => {
    expect(await privilegesOf(system.owner, 'accubooks_maintenance')).toEqual([
      'SELECT public.seal_keys',
      'SELECT public.seal_position',
    ]);
    await as('accubooks_maintenance', async (client) => {
      const { rows } = await client.query('SELECT ensure_audit_partitions(26) AS made');
      expect(rows).toEqual([{ made: 2 }]);
    });
  });

  test('whoever erases people asks and confirms, and reads no table', async () => {
    expect(await privilegesOf(system.owner, 'accubooks_eraser')).toEqual([]);
  });

  test.each(['accubooks_app', 'accubooks_relay', 'accubooks_auditor'])('%s makes no partitions', async (role) => {
    const making = as(role, (client) => client.query('SELECT ensure_audit_partitions(26)'));
    await expect(making).rejects.toMatchObject({ code: '42501' });
  });

  test('the application deletes and empties nothing, and founds no company', async () => {
    const held = await privilegesOf(system.owner, 'accubooks_app');
    // Who has no roles is no member; an upload that did not become its batch is dropped: nothing else ever goes.
    expect(held.filter((privilege) => /^(DELETE|TRUNCATE|REFERENCES|TRIGGER) /.test(privilege))).toEqual([
      'DELETE public.batch_chunks',
      'DELETE public.memberships',
    ]);
    // A process asks at its start whether the schema is as new as it is itself.
    expect(held.filter((privilege) => /schema_migrations|audit_partitions/.test(privilege))).toEqual([
      'SELECT public.schema_migrations',
    ]);
    // A whole table that may be updated has columns that must not change.
    expect(held.filter((privilege) => /^UPDATE [^(]*$/.test(privilege))).toEqual([]);
    const founding = sql.as('application', one.id, (client) =>
      client.query("SELECT create_company('Sham Ltd', 'sham@example.test', 'USD')"),
    );
    await expect(founding).rejects.toMatchObject({ code: '42501' });
  });

  /** One transaction as that role, rolled back. */
  async function as(role: string, work: (client: pg.PoolClient) => Promise<unknown>): Promise<void> {
    const client = await system.owner.connect();
    try {
      await client.query(`BEGIN; SET LOCAL ROLE ${role}`);
      await work(client);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  }
});
