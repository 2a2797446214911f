import canonicalize from 'canonicalize';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bankTransaction } from '../support/bank.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { anotherEraser, callErasure, whereIs } from '../support/erasing.ts';
import { executedPayRun, hire } from '../support/payroll.ts';
import { sealAllOf } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';

const REFUSED_BY_PRIVILEGE = '42501';
const REFUSED_BY_TRIGGER = '23001';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company('Guarded Ltd');
});
afterAll(() => system.stop());

async function asLogin<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const eraserUrl = () => system.environment['ERASER_DATABASE_URL'] as string;

const nameOf = async (employee: string) =>
  (await system.owner.query('SELECT first_name FROM employees WHERE id = $1', [employee])).rows[0].first_name;

describe('the role that erases', () => {
  test('can do nothing but ask, look, and confirm', async () => {
    const person = await hire(company);
    await sealAllOf(system);
    await asLogin(eraserUrl(), async (client) => {
      const { rows: tables } = await system.owner.query<{ name: string }>(
        `SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace`,
      );
      expect(tables.length).toBeGreaterThan(50);
      for (const { name } of tables) {
        for (const sql of [`SELECT FROM ${name}`, `DELETE FROM ${name}`]) {
          await expect(client.query(sql), sql).rejects.toMatchObject({ code: REFUSED_BY_PRIVILEGE });
        }
      }
      for (const sql of [
        `UPDATE employees SET first_name = '[erased]'`,
        `UPDATE payments SET amount_minor = 1`,
        `INSERT INTO erasures (kind, companies, person, reason, asked_operator, xid)
         VALUES ('user', '{}', gen_random_uuid(), 'r', 'o', pg_current_xact_id())`,
        `SELECT erase_person(gen_random_uuid(), 'me', true)`,
        `SELECT erase_rows('employees', NULL, 'true', NULL, true, NULL, NULL)`,
        `SELECT record_operator_command('x', NULL, '{}')`,
      ]) {
        await expect(client.query(sql), sql).rejects.toMatchObject({ code: REFUSED_BY_PRIVILEGE });
      }
      const erasing = { kind: 'employee', person, companies: [company.id] } as const;
      await expect(callErasure(client, 'erase_alone', erasing)).rejects.toThrow(
        /only the owner of the database erases alone/,
      );
      const preview = await callErasure(client, 'preview_erasure', erasing);
      expect(preview.companies).toMatchObject([{ company: company.id, employees: 1, idempotent_writes: 1 }]);
    });
    expect(await nameOf(person)).toBe('Sam');
    const { rows } = await system.owner.query('SELECT count(*)::int FROM erasures');
    expect(rows[0].count).toBe(0);
  });

  test('is no way for the others: neither the application nor the sealer changes what is kept', async () => {
    for (const url of [
      'DATABASE_URL',
      'SEALER_DATABASE_URL',
      'RELAY_DATABASE_URL',
      'MAINTENANCE_DATABASE_URL',
      'AUDITOR_DATABASE_URL',
    ]) {
      await asLogin(system.environment[url] as string, async (client) => {
        await client.query(`SELECT set_config('app.company_id', '${company.id}', false)`);
        for (const sql of [
          `INSERT INTO erasures (kind, companies, person, reason, asked_operator) VALUES ('user', '{}', gen_random_uuid(), 'r', 'o')`,
          `UPDATE erasures SET xid = pg_current_xact_id()`,
          `UPDATE seal_salts SET salts = salts`,
          `UPDATE journal_entries SET description = '[erased]'`,
          `SELECT ask_erasure('user', '{}', gen_random_uuid(), '{}', 'r', 'o')`,
        ]) {
          await expect(client.query(sql), `${url}: ${sql}`).rejects.toMatchObject({ code: REFUSED_BY_PRIVILEGE });
        }
      });
    }
  });
});

describe('an erasure is asked for by one and confirmed by another', () => {
  test('login and person, and the security log tells of both', async () => {
    const person = await hire(company, { firstName: 'Wanda' });
    await sealAllOf(system);
    const another = await anotherEraser(system);
    const erasing = {
      kind: 'employee',
      person,
      companies: [company.id],
      texts: ['Wanda the Great'],
      operator: 'first',
    } as const;
    const id = await asLogin(eraserUrl(), (client) => callErasure(client, 'ask_erasure', erasing));
    const confirm = (url: string, operator: string) =>
      asLogin(url, (client) => client.query('SELECT confirm_erasure($1, $2)', [id, operator]));
    for (const [url, operator] of [
      [eraserUrl(), 'first'],
      [eraserUrl(), 'bert'],
      [another, 'first'],
      [another, 'FIRST'],
    ] as const) {
      await expect(confirm(url, operator)).rejects.toThrow(
        /another person has to confirm, by another login of the database/,
      );
    }
    expect(await nameOf(person)).toBe('Wanda');
    await confirm(another, 'bert');
    expect(await nameOf(person)).toBe('[erased]');
    await expect(confirm(another, 'bert')).rejects.toThrow(/it is done/);
    const { rows } = await system.owner.query(
      `SELECT action, login, details FROM security_log WHERE company_id = $1 AND details ->> 'erasure' = $2 ORDER BY id`,
      [company.id, id],
    );
    expect(rows).toMatchObject([
      {
        action: 'privacy:erase ask',
        login: 'accubooks_eraser_login',
        details: { employee: person, operator: 'first' },
      },
      {
        action: 'privacy:erase',
        login: new URL(another).username,
        details: {
          employee: person,
          askedBy: 'accubooks_eraser_login',
          askedOperator: 'first',
          confirmedOperator: 'bert',
        },
      },
    ]);
    expect(await whereIs(system.owner, 'Wanda')).toEqual([]);
    await expect(system.owner.query(`UPDATE erasures SET reason = 'other' WHERE id = $1`, [id])).rejects.toMatchObject({
      code: REFUSED_BY_TRIGGER,
    });
  });

  test('within a week', async () => {
    const person = await hire(company);
    const erasing = { kind: 'employee', person, companies: [company.id] } as const;
    const id = await asLogin(eraserUrl(), (client) => callErasure(client, 'ask_erasure', erasing));
    await system.owner.query(`UPDATE erasures SET asked_at = asked_at - interval '8 days' WHERE id = $1`, [id]);
    const late = asLogin(await anotherEraser(system), (client) =>
      client.query('SELECT confirm_erasure($1, $2)', [id, 'bert']),
    );
    await expect(late).rejects.toThrow(/too long ago/);
  });
});

describe('within an erasure, the triggers let nothing through but the erasing', () => {
  /** Runs statements as the owner would within an erasure, each by itself; nothing stays. */
  async function within(statements: readonly string[]): Promise<(string | number | null)[]> {
    const session = await system.owner.connect();
    const ends: (string | number | null)[] = [];
    try {
      await session.query('BEGIN');
      await session.query(
        `INSERT INTO erasures (kind, companies, person, reason, asked_operator, xid)
         VALUES ('user', '{}', gen_random_uuid(), 'r', 'o', pg_current_xact_id())`,
      );
      for (const statement of statements) {
        await session.query('SAVEPOINT one');
        ends.push(
          await session.query(statement).then(
            ({ rowCount }) => rowCount,
            ({ code }: pg.DatabaseError) => code ?? 'unknown',
          ),
        );
        await session.query('ROLLBACK TO SAVEPOINT one');
      }
      return ends;
    } finally {
      await session.query('ROLLBACK');
      session.release();
    }
  }

  test('no amount, no ID, no date, and no text but the marker', async () => {
    const invoiceId = await company.invoice();
    const payment = await company.api.created('/api/payments', { ...paymentBody(invoiceId), reference: 'a reference' });
    await executedPayRun(company);
    await bankTransaction(company.api, 5);
    await sealAllOf(system);
    const body = (change: string) =>
      `UPDATE idempotent_writes SET response_body = convert_to(${change}, 'UTF8') WHERE write_id = '${payment.id}'`;
    const answer = `convert_from(response_body, 'UTF8')`;
    const refused = [
      'UPDATE payments SET amount_minor = amount_minor + 1',
      `UPDATE payments SET reference = 'another'`,
      `UPDATE payments SET received_on = received_on + 1, reference = '[erased]'`,
      `UPDATE payments SET metadata = '{"a": "b"}'`,
      'UPDATE journal_lines SET amount_minor = -amount_minor',
      `UPDATE journal_lines SET memo = 'x'`,
      'UPDATE journal_entries SET entry_date = entry_date - 1',
      `UPDATE journal_entries SET operation = 'createRefund', description = '[erased]'`,
      'UPDATE invoices SET total_minor = total_minor + 1',
      'UPDATE invoice_lines SET net_minor = net_minor + 1',
      'UPDATE payslips SET net_minor = net_minor + 1',
      'UPDATE bank_transactions SET amount_minor = 6',
      `UPDATE bank_transactions SET bank_reference = '[erased]'`,
      `UPDATE idempotent_writes SET fingerprint = repeat('0', 64)`,
      `UPDATE idempotent_writes SET outcome = 'rejected'`,
      `UPDATE idempotent_writes SET location = NULL`,
      body(`replace(${answer}, '"amount":', '"amount":1')`),
      body(`replace(${answer}, '"reference":"a reference"', '"reference":"x"')`),
      body(`'{}'`),
      `UPDATE idempotent_writes SET request = jsonb_set(request, '{body,amount}', '1') WHERE operation = 'createPayment'`,
      `UPDATE idempotent_writes SET request = request - 'params'`,
      `UPDATE idempotent_write_audit_log SET user_id = gen_random_uuid()`,
      `UPDATE idempotent_write_audit_log SET timestamp = timestamp - interval '1 second'`,
      `UPDATE security_log SET event = 'other'`,
      `UPDATE seal_salts SET salts = decode(repeat('00', length(salts)), 'hex')`,
      `UPDATE seal_salts SET salts = salts || salts`,
      `UPDATE seal_batches SET head = root`,
      `UPDATE sealed_entries SET leaf = sha256(leaf)`,
      'DELETE FROM journal_lines',
      'DELETE FROM idempotent_writes',
    ];
    const ends = await within(refused);
    // The payment's row is changed by checks and by triggers; whichever comes first refuses.
    expect(Object.fromEntries(refused.map((statement, i) => [statement, ends[i]]))).toEqual(
      Object.fromEntries(refused.map((statement) => [statement, expect.stringMatching(/^23/)])),
    );
    const erased = [
      `UPDATE payments SET reference = '[erased]' WHERE id = '${payment.id}'`,
      body(`replace(${answer}, '"reference":"a reference"', '"reference":"[erased]"')`),
      `UPDATE bank_transactions SET description = '[erased]' WHERE company_id = '${company.id}'`,
    ];
    expect(await within(erased)).toEqual([1, 1, 1]);
    for (const statement of erased) {
      await expect(system.owner.query(statement), statement).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
    }
  });

  test('a salt goes only when its digests are there', async () => {
    const zeros = "decode(repeat('00', length(salts)), 'hex')";
    const all = (from: string) =>
      `(SELECT jsonb_object_agg(n, '{}'::jsonb) FROM generate_series(first_number, first_number + length(${from}) / 16 - 1) AS n)`;
    expect(
      await within([
        `UPDATE seal_salts SET salts = ${zeros}, erased = ${all('salts')} WHERE company_id = '${company.id}' AND first_number = 1`,
        `UPDATE seal_salts SET salts = ${zeros}, erased = '{"1": {}}' WHERE company_id = '${company.id}' AND log = 'audit' AND length(salts) > 16`,
        `UPDATE seal_salts SET salts = sha256('x') || substring(salts FROM 33), erased = ${all('salts')} WHERE length(salts) > 32`,
      ]),
    ).toEqual([2, REFUSED_BY_TRIGGER, REFUSED_BY_TRIGGER]);
  });
});

test('canonical JSON in the database is that of RFC 8785', async () => {
  const values: unknown[] = [
    null,
    true,
    '',
    'plain',
    'Ünï "x" \\ / \b\f\n\r\t\u0001\u001f\u007f\u2028é',
    '😀',
    [],
    {},
    [1, [2], { b: 1, a: [null, false] }],
    { '\ue000': 1, '😀': 2, é: 3, e: 4, '': 5, B: 6, a: 7, '10': 8, '9': 9, '\r': 10, דּ: 11 },
    0,
    -1,
    1.5,
    1e-6,
    0.1 + 0.2,
    123456789012345680000,
    -0.000001234,
    5e20,
    1 / 3,
  ];
  const { rows } = await system.owner.query('SELECT canonical_json(v) AS text FROM jsonb_array_elements($1) AS v', [
    JSON.stringify(values),
  ]);
  expect(rows.map(({ text }) => text)).toEqual(values.map((value) => canonicalize(value)));
  for (const beyond of ['1e21', '1e-7']) {
    await expect(system.owner.query('SELECT canonical_json($1)', [beyond])).rejects.toThrow(
      /has no place in a sealed row/,
    );
  }
});
