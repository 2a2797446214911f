import { expect } from 'vitest';
import { openPool, type Pool } from '../../activities/database.ts';
import { listArchives } from '../../deploy/operator/audit/list.ts';
import type { Company } from './companies.ts';
import type { System } from './system.ts';

/** Months of the past, made of rows of today: nothing else about them is false. */
export type AuditMonths = {
  /** Moves what the log has of some keys into that month; with text that is hard to carry. */
  move(month: string, keys: readonly string[]): Promise<void>;
  /** A month with two rows of a write of its own. */
  make(month: string): Promise<void>;
  /** The rows of a month that the log has, as text. */
  rowsOf(month: string): Promise<string[]>;
  /** `2025-03 detached`, of all months that were archived. */
  archived(): Promise<string[]>;
};

export function openMaintenancePool(system: System): Pool {
  return openSmallPool(system.environment['MAINTENANCE_DATABASE_URL'], 'accubooks-maintenance');
}

/** Of the login that verifies what maintenance has archived. */
export function openAuditorPool(system: System): Pool {
  return openSmallPool(system.environment['AUDITOR_DATABASE_URL'], 'accubooks-auditor');
}

function openSmallPool(connectionString: string | undefined, applicationName: string): Pool {
  return openPool({ connectionString: connectionString ?? '', max: 2, statementTimeoutMs: 60_000, applicationName });
}

export function auditMonths({ owner }: System, company: Company, pool: Pool): AuditMonths {
  const months: AuditMonths = {
    async move(month, keys) {
      await owner.query('SELECT make_audit_partition($1)', [`${month}-01`]);
      const session = await owner.connect();
      await session.query('BEGIN');
      await session.query("SET LOCAL session_replication_role = 'replica'"); // without the triggers that keep rows
      const { rowCount } = await session.query(
        `WITH gone AS (
           DELETE FROM idempotent_write_audit_log
           WHERE company_id = $2 AND idempotency_key = ANY ($3) AND timestamp > now() - interval '60 days' RETURNING *
         )
         INSERT INTO idempotent_write_audit_log (id, timestamp, company_id, operation_name, operation_type,
           deterministic_id, idempotency_key, user_id, status, error_code, error_message, execution_duration_ms, request_id,
           route_path, http_method, metadata)
         SELECT id, $1::timestamptz + (timestamp - date_trunc('month', timestamp)) / 2, company_id, operation_name,
           operation_type, deterministic_id, idempotency_key, user_id, status, error_code,
           E'line\nbreak, "quotes", \\\\ and \u2028 \u00e9', 0.1 + 0.2, request_id, route_path, http_method,
           '{"b": [1, 2.50, null], "a": "\u2028"}'
         FROM gone`,
        [`${month}-01T00:00:00Z`, company.id, keys],
      );
      await session.query('COMMIT');
      session.release();
      expect(rowCount).toBeGreaterThan(0);
    },
    async make(month) {
      const key = `of-${month}`;
      for (let times = 0; times < 2; times += 1)
        await company.api.created('/api/customers', { name: 'Audited' }, { key });
      await months.move(month, [key]);
    },
    // As they are archived: the ID of a transaction says nothing in a file.
    async rowsOf(month) {
      const { rows } = await owner.query<{ line: string }>(
        `SELECT (to_jsonb(a) - 'xid')::text AS line FROM idempotent_write_audit_log a
         WHERE timestamp >= $1::timestamptz AND timestamp < $1::timestamptz + interval '1 month' ORDER BY timestamp, id`,
        [`${month}-01T00:00:00Z`],
      );
      return rows.map(({ line }) => line);
    },
    async archived() {
      return (await listArchives(pool)).map(({ month, where }) => `${month} ${where}`);
    },
  };
  return months;
}
