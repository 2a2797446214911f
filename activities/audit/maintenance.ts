import { Context } from '@temporalio/activity';
import type { AuditMaintenanceActivities } from '../../workflows/maintenance-messages.ts';
import type { Pool } from '../database.ts';
import { archiveMonth, asMaintenance } from './archive-month.ts';

export type AuditMaintenanceDependencies = {
  /** Logs in as one who may act as accubooks_maintenance. */
  readonly pool: Pool;
  /** Where months go that are no longer hot; without it they stay. */
  readonly archiveFolder: string | undefined;
};

/** Months of partitions that stand ready, as after a migration. */
const MONTHS_AHEAD = 24;
/** A comparison of a large month is one statement, which reports nothing meanwhile. */
const HEARTBEAT_MS = 10_000;

/** What keeps the audit log in shape: partitions for the months to come, an archive for those that are over. */
export function createAuditMaintenance({
  pool,
  archiveFolder,
}: AuditMaintenanceDependencies): AuditMaintenanceActivities {
  return {
    keepPartitions: () => keepPartitions(pool),
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

export function keepPartitions(pool: Pool): Promise<{ moved: number; made: number }> {
  return asMaintenance(pool, async (tx) => {
    const [moved] = await tx.query<{ moved: bigint }>('SELECT empty_audit_fallback($1) AS moved', [MONTHS_AHEAD]);
    const [made] = await tx.query<{ made: number }>('SELECT ensure_audit_partitions($1) AS made', [MONTHS_AHEAD]);
    return { moved: Number(moved?.moved ?? 0), made: made?.made ?? 0 };
  });
}

/** Oldest first, as `2026-08`. */
export function findMonths(pool: Pool): Promise<string[]> {
  return asMaintenance(pool, async (tx) => {
    const months = await tx.query<{ month: string }>('SELECT month FROM archivable_audit_months()');
    return months.map(({ month }) => month.slice(0, 7));
  });
}
