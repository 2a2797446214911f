import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEMO } from '../../activities/demo.ts';
import { writeId } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { asAuditor } from '../../deploy/cli/auditor.ts';
import { ONE_WINS } from '../../deploy/cli/examples.ts';
import type { Target } from '../../deploy/cli/target.ts';
import { check, type SentKey } from '../../deploy/isolation/checks.ts';
import { keysOf, runIsolation } from '../../deploy/isolation/isolation.ts';
import { reportOn } from '../../deploy/isolation/report.ts';
import { type System, startSystem } from '../support/system.ts';

const SILENT = { update() {}, done() {} };

describe('the load commands', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
    // Whom the example of a grant names.
    await system.owner.query("INSERT INTO users (id, email) VALUES ($1, 'newcomer@demo.test')", [DEMO.newcomerId]);
  });
  afterAll(() => system.stop());

  test.each(OPERATIONS)(
    '$name can be sent again and again by its example, and a row of it that has gone is missed',
    async (operation) => {
      const { name, effects, successStatus } = operation;
      const target = await companies(1);
      const options = { operation, requestsPerTenant: 3, duplicates: 0, concurrency: 3 };
      const run = await runIsolation(target, options, SILENT);
      const report = reportOn(run);
      expect(report).toMatchObject({ sent: 3, answered: 3, first: 3, violations: [] });
      // The others are told that the version is another one, or the year closed.
      const writes = ONE_WINS.has(name) ? 1 : 3;
      expect(report).toMatchObject({ writes, rejected: 3 - writes });

      if (effects.makes === undefined) return;
      const keys = keysOf(run.sent);
      const made = run.sent.find(({ submitted }) => submitted.final?.status === successStatus);
      const id = writeId(keys[0]?.companyId ?? '', name, made?.write.key ?? '');
      await tamper(`DELETE FROM ${effects.makes} WHERE id = $1`, [id]);
      const findings = await asAuditor(databaseUrl(), (auditor) => check(auditor, operation, keys, { strays: 0 }));
      expect(findings).toMatchObject({ writes, acknowledgedButMissing: 1, duplicates: 0, lost: 0 });
    },
  );

  test('send the same keys in each company, and half of the requests twice', async () => {
    const target = await companies(3);
    const options = { operation: createPayment, requestsPerTenant: 10, duplicates: 0.5, concurrency: 30 };
    const run = await runIsolation(target, options, SILENT);
    expect(reportOn(run)).toMatchObject({
      companies: 3,
      sent: 30,
      first: 15,
      replayed: 15,
      writes: 15,
      violations: [],
    });
    const keys = target.tenants.map(({ companyId }) =>
      run.sent.filter(({ tenant }) => tenant.companyId === companyId).map(({ write }) => write.key),
    );
    expect(new Set(keys[0]).size).toBe(5);
    expect(new Set(keys.flat()).size).toBe(5);
  });

  test('see by answers alone what no database is given for, and say so', async () => {
    const target = { ...(await companies(2)), databaseUrl: undefined };
    const options = { operation: createPayment, requestsPerTenant: 4, duplicates: 0.25, concurrency: 8 };
    const report = reportOn(await runIsolation(target, options, SILENT));
    expect(report).toMatchObject({ writes: 6, checkedInDatabase: false, duplicates: null, violations: [] });
  });

  describe('find', () => {
    test('a payment that has gone, though it was acknowledged', async () => {
      const keys = await paid();
      await tamper('DELETE FROM payments WHERE id = $1', [idOf(keys[0])]);
      expect(await found(keys)).toMatchObject({ acknowledgedButMissing: 1, unbalanced: 1, duplicates: 0, lost: 0 });
    });

    test('a key of which nothing is there', async () => {
      const keys = await paid();
      const lost = { companyId: keys[0]?.companyId ?? '', key: 'never arrived' };
      expect(await found([...keys, { ...lost, acknowledged: false }])).toMatchObject({ lost: 1 });
      expect(await found([...keys, { ...lost, acknowledged: true }])).toMatchObject({
        lost: 1,
        acknowledgedButMissing: 1,
      });
    });

    test('a second payment beside that of the write', async () => {
      const keys = await paid();
      await tamper(copyOfPayment('company_id', '$2'), [idOf(keys[0]), randomUUID()]);
      expect(await found(keys)).toMatchObject({ duplicates: 1, unbalanced: 1 });
    });

    test('a second audit row that says new', async () => {
      const keys = await paid();
      await tamper(
        `INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, deterministic_id,
           idempotency_key, user_id, status, request_id, route_path, http_method)
         SELECT company_id, operation_name, operation_type, deterministic_id, idempotency_key, user_id, status, request_id,
           route_path, http_method FROM idempotent_write_audit_log WHERE deterministic_id = $1`,
        [idOf(keys[0])],
      );
      expect(await found(keys)).toMatchObject({ duplicates: 1 });
    });

    test('a payment in the books of another company', async () => {
      const keys = await paid();
      const other = await system.company();
      await tamper(copyOfPayment('$2', 'id'), [idOf(keys[0]), other.id]);
      expect(await found(keys)).toMatchObject({ seenByAnother: 1 });
    });

    test('an entry that does not sum to zero', async () => {
      const keys = await paid();
      await tamper(
        `UPDATE journal_lines SET amount_minor = amount_minor + 1 WHERE (company_id, id) IN (
           SELECT l.company_id, l.id FROM journal_lines l JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
           WHERE e.write_id = $1 LIMIT 1)`,
        [idOf(keys[0])],
      );
      expect(await found(keys)).toMatchObject({ unbalanced: 1 });
    });
  });

  async function companies(count: number): Promise<Target> {
    const tenants = await Promise.all(
      Array.from({ length: count }, async () => {
        const company = await system.company();
        return { companyId: company.id, token: company.users.owner.token };
      }),
    );
    return { url: system.url, tenants, databaseUrl: databaseUrl() };
  }

  function databaseUrl(): string {
    return system.owner.options.connectionString ?? '';
  }

  /** Three payments of a new company, as the check is told of them. */
  async function paid(): Promise<SentKey[]> {
    const options = { operation: createPayment, requestsPerTenant: 3, duplicates: 0, concurrency: 3 };
    const run = await runIsolation(await companies(1), options, SILENT);
    const keys = run.sent.map(({ tenant, write }) => ({
      companyId: tenant.companyId,
      key: write.key,
      acknowledged: true,
    }));
    expect(await found(keys)).toEqual({
      writes: 3,
      rejected: 0,
      cancelled: 0,
      duplicates: 0,
      lost: 0,
      acknowledgedButMissing: 0,
      seenByAnother: 0,
      unbalanced: 0,
    });
    return keys;
  }

  function found(keys: readonly SentKey[]) {
    return asAuditor(databaseUrl(), (auditor) => check(auditor, createPayment, keys, { strays: 0 }));
  }

  function idOf(sent: SentKey | undefined): string {
    return writeId(sent?.companyId ?? '', 'createPayment', sent?.key ?? '');
  }

  /** Past triggers and foreign keys, as only an owner can, and only on purpose. */
  async function tamper(sql: string, values: readonly string[]): Promise<void> {
    const client = await system.owner.connect();
    try {
      await client.query("BEGIN; SELECT set_config('session_replication_role', 'replica', true)");
      const { rowCount } = await client.query(sql, [...values]);
      await client.query('COMMIT');
      expect(rowCount).toBe(1);
    } catch (error) {
      // None of the next tests may get a connection with a transaction that is still open.
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
  }
});

function copyOfPayment(companyId: string, id: string): string {
  return `INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, bank_account_id,
            journal_entry_id, number)
          SELECT ${companyId}, ${id}, invoice_id, amount_minor, currency, method, received_on, bank_account_id,
            journal_entry_id, number + 1000000
          FROM payments WHERE id = $1`;
}
