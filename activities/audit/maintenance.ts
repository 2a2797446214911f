import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { AuditMaintenanceActivities } from '../../workflows/maintenance-messages.ts';
import { RUN_REFUSED } from '../../workflows/refused.ts';
import type { Pool } from '../database.ts';
import { archiveMonth, asMaintenance } from './archive-month.ts';

export type AuditMaintenanceDependencies = {
  /** Its login is a member of accubooks_maintenance. */
  readonly pool: Pool;
  /** Where old months are archived; without it they stay in the database. */
  readonly archiveFolder: string | undefined;
  /** Whether payloads are authenticated: only then does an order show anything. */
  readonly requireOrder: boolean;
};

/** As many months ahead as the migration creates partitions for. */
const MONTHS_AHEAD = 24;
/** The comparison of a large month is one long statement, during which only a timer can send heartbeats. */
const HEARTBEAT_MS = 10_000;

/** The activities that create the partitions of both logs for the months ahead, and archive old months of the audit log. */
export function createAuditMaintenance({
  pool,
  archiveFolder,
  requireOrder,
}: AuditMaintenanceDependencies): AuditMaintenanceActivities {
  return {
    async keepPartitions(order) {
      if (requireOrder && typeof order?.schedule !== 'string') {
        throw ApplicationFailure.nonRetryable('The run was refused. Its schedule has not ordered it.', RUN_REFUSED);
      }
      return keepPartitions(pool);
    },
    findMonthsToArchive: async () => (archiveFolder === undefined ? [] : findMonths(pool)),
    async archiveMonth(month) {
      if (archiveFolder === undefined) throw new Error('This worker has no AUDIT_ARCHIVE_DIR');
      const context = Context.current();
      const alive = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
      try {
        const { rows, file } = await archiveMonth(pool, archiveFolder, month, () => {
          context.heartbeat();
          context.cancellationSignal.throwIfAborted();
        });
        return { month, rows, file };
      } finally {
        clearInterval(alive);
      }
    },
  };
}

/** Of the audit log and of the security log, whose months are dropped when they have stood for their time. `made` counts both. */
export async function keepPartitions(pool: Pool): Promise<{ moved: number; made: number; dropped: number }> {
  const ofAudit = await asMaintenance(pool, async (tx) => {
    const [moved] = await tx.query<{ moved: bigint }>('SELECT empty_audit_fallback($1) AS moved', [MONTHS_AHEAD]);
    const [made] = await tx.query<{ made: number }>('SELECT ensure_audit_partitions($1) AS made', [MONTHS_AHEAD]);
    return { moved: Number(moved?.moved ?? 0), made: made?.made ?? 0 };
  });
  const ofSecurity = await asMaintenance(pool, async (tx) => {
    const [made] = await tx.query<{ made: number }>('SELECT ensure_security_partitions($1) AS made', [MONTHS_AHEAD]);
    const [old] = await tx.query<{ dropped: number }>('SELECT drop_old_security_months() AS dropped');
    return { made: made?.made ?? 0, dropped: old?.dropped ?? 0 };
  });
  return { moved: ofAudit.moved, made: ofAudit.made + ofSecurity.made, dropped: ofSecurity.dropped };
}

/** The months that are due for archiving, as `2026-08`, oldest first. */
export function findMonths(pool: Pool): Promise<string[]> {
  return asMaintenance(pool, async (tx) => {
    const months = await tx.query<{ month: string }>('SELECT month FROM archivable_audit_months()');
    return months.map(({ month }) => month.slice(0, 7));
  });
}
