import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Pool } from '../../activities/database.ts';
import type { SealFinding } from '../../activities/seal/verify-log.ts';
import type { Company } from '../support/companies.ts';
import { findingsOf, openSealer, sealAll } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';
import { inRolledBackTransaction } from '../support/tampering.ts';

let system: System;
let company: Company;
let sealer: Pool;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company('Sealed');
  sealer = openSealer(system);
});
afterAll(async () => {
  await sealer.close();
  await system.stop();
});

const verify = (database: Pick<pg.ClientBase, 'query'> = system.owner) => findingsOf(database, company.id);

describe('the seal', () => {
  test('has each entry and each audit row once, in numbers without gaps, whatever was there before the sealer', async () => {
    const neighbour = await system.company('Neighbour');
    await neighbour.invoice();
    // As where the month is in the archive: nothing but the sweep comes to its entry.
    const client = await system.owner.connect();
    await client.query("SET session_replication_role = 'replica'");
    await client.query('DELETE FROM idempotent_write_audit_log WHERE company_id = $1', [neighbour.id]);
    await client.query('RESET session_replication_role');
    client.release();
    await company.invoice();
    await sealAll(sealer, 3);
    await company.invoice();
    await company.customer();
    await sealAll(sealer, 3);
    // After a restore all is swept once more.
    await system.owner.query('UPDATE verification SET epoch = gen_random_uuid()');
    await sealAll(sealer, 3);
    expect(await findingsOf(system.owner, neighbour.id)).toEqual([]);
    const swept = await system.owner.query('SELECT FROM sealed_entries WHERE company_id = $1', [neighbour.id]);
    expect(swept.rowCount).toBe(1);
    const { rows } = await system.owner.query(
      `SELECT (SELECT array_agg(number::int ORDER BY number) FROM sealed_entries WHERE company_id = $1) AS entries,
         (SELECT array_agg(number::int ORDER BY number) FROM sealed_audit_rows WHERE company_id = $1) AS audit,
         (SELECT count(*)::int FROM journal_entries WHERE company_id = $1) AS made,
         (SELECT count(*)::int FROM idempotent_write_audit_log WHERE company_id = $1) AS told`,
      [company.id],
    );
    const { entries, audit, made, told } = rows[0];
    const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
    expect(made).toBeGreaterThan(1);
    expect(entries).toEqual(upTo(made));
    expect(audit).toEqual(upTo(told));
    expect(await verify()).toEqual([]);
  });

  test('salts each row anew', async () => {
    const { rows } = await system.owner.query(
      `SELECT count(*)::int AS salts, count(DISTINCT substring(s.salts FROM 16 * i + 1 FOR 16))::int AS different
       FROM seal_salts s CROSS JOIN LATERAL generate_series(0, length(s.salts) / 16 - 1) AS i`,
    );
    expect(rows[0].salts).toBeGreaterThan(5);
    expect(rows[0].different).toBe(rows[0].salts);
  });

  test('gives an entry its number in reads and exports, and none before it is sealed', async () => {
    const { id, entryNumber } = await company.api.created('/api/ledger/entries', {
      date: '2026-02-01',
      description: 'Capital',
      currency: 'USD',
      lines: [
        { accountCode: '1000', amount: 5_000 },
        { accountCode: '3000', amount: -5_000 },
      ],
    });
    expect(entryNumber).toBeNull();
    const read = async () => (await company.api.get(`/api/ledger/entries/${id}`)).json.entryNumber;
    expect(await read()).toBeNull();
    await sealAll(sealer);
    const { rows } = await system.owner.query('SELECT count(*)::int FROM journal_entries WHERE company_id = $1', [
      company.id,
    ]);
    expect(await read()).toBe(rows[0].count);
  });
});

describe('what the owner of the database changes with triggers switched off', () => {
  /** Entries and audit rows by the number that the seal gave them. */
  const entry = (number: number) =>
    `(SELECT entry_id FROM sealed_entries WHERE company_id = $1 AND number = ${number})`;
  const auditRow = (number: number) =>
    `(SELECT row_id FROM sealed_audit_rows WHERE company_id = $1 AND number = ${number})`;
  const write = (number: number) =>
    `(SELECT write_id FROM journal_entries WHERE company_id = $1 AND id = ${entry(number)})`;

  type Told = readonly [kind: SealFinding['kind'], log: SealFinding['log'], number: number];
  const altered = (log: SealFinding['log'], number: number): Told => ['sealed-row-altered', log, number];

  const MANIPULATIONS: Readonly<Record<string, readonly [sql: readonly string[], told: readonly Told[]]>> = {
    'the amounts of an entry edited': [
      [`UPDATE journal_lines SET amount_minor = amount_minor * 2 WHERE company_id = $1 AND entry_id = ${entry(2)}`],
      [altered('journal', 2)],
    ],
    'an entry backdated': [
      [`UPDATE journal_entries SET entry_date = entry_date - 1 WHERE company_id = $1 AND id = ${entry(2)}`],
      [altered('journal', 2)],
    ],
    'an entry posted a microsecond earlier': [
      [
        `UPDATE journal_entries SET created_at = created_at - interval '1 microsecond' WHERE company_id = $1 AND id = ${entry(2)}`,
      ],
      [altered('journal', 2)],
    ],
    'a description reworded': [
      [`UPDATE journal_entries SET description = 'Consulting' WHERE company_id = $1 AND id = ${entry(1)}`],
      [altered('journal', 1)],
    ],
    'a memo added to a line': [
      [`UPDATE journal_lines SET memo = 'x' WHERE company_id = $1 AND entry_id = ${entry(1)} AND line_number = 1`],
      [altered('journal', 1)],
    ],
    'a line deleted': [
      [`DELETE FROM journal_lines WHERE company_id = $1 AND entry_id = ${entry(1)} AND line_number = 1`],
      [altered('journal', 1)],
    ],
    'an account given another code': [
      [`UPDATE accounts SET code = '3001' WHERE company_id = $1 AND code = '3000'`],
      [altered('journal', 3)],
    ],
    'an account made one of another type': [
      [`UPDATE accounts SET type = 'income' WHERE company_id = $1 AND code = '3000'`],
      [altered('journal', 3)],
    ],
    'a write given to another member': [
      [
        `UPDATE idempotent_writes SET user_id = (SELECT user_id FROM memberships WHERE company_id = $1 AND 'admin' = ANY (roles))
         WHERE company_id = $1 AND write_id = ${write(2)}`,
      ],
      [altered('journal', 2)],
    ],
    'a stored answer edited': [
      [
        `UPDATE idempotent_writes SET response_body = response_body || ' ' WHERE company_id = $1 AND write_id = ${write(2)}`,
      ],
      [altered('journal', 2), altered('audit', 6)],
    ],
    'a fingerprint edited': [
      [`UPDATE idempotent_writes SET fingerprint = repeat('0', 64) WHERE company_id = $1 AND write_id = ${write(2)}`],
      [altered('journal', 2), altered('audit', 6)],
    ],
    'an entry deleted with its lines': [
      [
        `DELETE FROM journal_lines WHERE company_id = $1 AND entry_id = ${entry(3)}`,
        `DELETE FROM journal_entries WHERE company_id = $1 AND id = ${entry(3)}`,
      ],
      [['sealed-row-missing', 'journal', 3]],
    ],
    'an entry deleted, its seal too': [
      [
        `DELETE FROM journal_entries WHERE company_id = $1 AND id = ${entry(3)}`,
        'DELETE FROM sealed_entries WHERE company_id = $1 AND number = 3',
      ],
      [['seal-number-missing', 'journal', 3]],
    ],
    'an entry deleted, and the others renumbered': [
      [
        'DELETE FROM sealed_entries WHERE company_id = $1 AND number = 2',
        'UPDATE sealed_entries SET number = -number WHERE company_id = $1',
        'UPDATE sealed_entries SET number = CASE WHEN number < -2 THEN -number - 1 ELSE -number END WHERE company_id = $1',
      ],
      [
        altered('journal', 2),
        ['seal-chain-broken', 'journal', 2],
        ['seal-tree-broken', 'journal', 2],
        ['seal-number-missing', 'journal', 3],
      ],
    ],
    'two entries swapped': [
      [
        'ALTER TABLE sealed_entries DROP CONSTRAINT sealed_entries_company_id_entry_id_key',
        `UPDATE sealed_entries s SET entry_id = o.entry_id FROM sealed_entries o
         WHERE s.company_id = $1 AND o.company_id = $1 AND (s.number, o.number) IN ((1, 2), (2, 1))`,
      ],
      [altered('journal', 1), altered('journal', 2)],
    ],
    'two entries swapped with their leaves': [
      [
        'ALTER TABLE sealed_entries DROP CONSTRAINT sealed_entries_company_id_entry_id_key',
        `UPDATE sealed_entries s SET entry_id = o.entry_id, leaf = o.leaf FROM sealed_entries o
         WHERE s.company_id = $1 AND o.company_id = $1 AND (s.number, o.number) IN ((1, 2), (2, 1))`,
      ],
      [
        altered('journal', 1),
        ['seal-chain-broken', 'journal', 1],
        ['seal-tree-broken', 'journal', 1],
        altered('journal', 2),
        ['seal-chain-broken', 'journal', 2],
        ['seal-tree-broken', 'journal', 2],
      ],
    ],
    'an entry edited, and its leaf made anew': [
      [`UPDATE sealed_entries SET leaf = sha256('made anew') WHERE company_id = $1 AND number = 1`],
      [altered('journal', 1), ['seal-chain-broken', 'journal', 1], ['seal-tree-broken', 'journal', 1]],
    ],
    'a head of a batch edited': [
      [`UPDATE seal_batches SET head = sha256('other') WHERE company_id = $1 AND log = 'journal' AND first_number = 1`],
      [
        ['seal-chain-broken', 'journal', 1],
        ['seal-chain-broken', 'journal', 2],
      ],
    ],
    'a root of a batch edited': [
      [`UPDATE seal_batches SET root = sha256('other') WHERE company_id = $1 AND log = 'audit' AND first_number = 1`],
      [['seal-tree-broken', 'audit', 1]],
    ],
    'a batch deleted': [
      [`DELETE FROM seal_batches WHERE company_id = $1 AND log = 'journal' AND first_number = 2`],
      [['seal-batch-missing', 'journal', 2]],
    ],
    'the last batch deleted': [
      [`DELETE FROM seal_batches WHERE company_id = $1 AND log = 'journal' AND first_number = 3`],
      [['seal-batch-missing', 'journal', 3]],
    ],
    'salts deleted': [
      [`DELETE FROM seal_salts WHERE company_id = $1 AND log = 'journal' AND first_number = 1`],
      [['seal-salts-missing', 'journal', 1], altered('journal', 1)],
    ],
    'an audit row edited': [
      [`UPDATE idempotent_write_audit_log SET request_id = 'other' WHERE company_id = $1 AND id = ${auditRow(2)}`],
      [altered('audit', 2)],
    ],
    'an audit row deleted': [
      [`DELETE FROM idempotent_write_audit_log WHERE company_id = $1 AND id = ${auditRow(2)}`],
      [['sealed-row-missing', 'audit', 2]],
    ],
    'an audit row moved to another time': [
      [
        `UPDATE idempotent_write_audit_log SET timestamp = timestamp + interval '1 second' WHERE company_id = $1 AND id = ${auditRow(2)}`,
      ],
      [['sealed-row-missing', 'audit', 2]],
    ],
    'an audit row given to another company': [
      [
        `UPDATE idempotent_write_audit_log SET company_id = gen_random_uuid() WHERE company_id = $1 AND id = ${auditRow(2)}`,
      ],
      [altered('audit', 2)],
    ],
  };

  test.each(Object.entries(MANIPULATIONS))('%s: is found and located', async (_what, [statements, told]) => {
    await inRolledBackTransaction(system.owner, async (owner) => {
      for (const sql of statements) {
        const { command, rowCount } = await owner.query(sql, sql.startsWith('ALTER') ? [] : [company.id]);
        expect(command === 'ALTER' || Number(rowCount) > 0, sql).toBe(true);
      }
      const found = (await verify(owner)).map(({ kind, log, number }) => [kind, log, Number(number)]);
      expect(found).toEqual(told);
    });
  });
});
