import { asMaintenance } from '../../../activities/audit/archive-month.ts';
import type { Pool } from '../../../activities/database.ts';

export type Archive = {
  readonly month: string;
  readonly rows: number;
  readonly rowDigest: string;
  readonly file: string;
  readonly sha256: string;
  readonly archivedAt: string;
  /** How many of the rows had no seal; null of months that an earlier release has archived. */
  readonly unsealed: number | null;
  /** The logins that archived it, that verified its file last, and that dropped its table; null where nobody has. */
  readonly archivedBy: string | null;
  readonly verifiedBy: string | null;
  readonly verifiedAt: string | null;
  readonly droppedBy: string | null;
  /** `detached`: in a separate table; `restored`: in the log again; `dropped`: only in its file. */
  readonly where: 'detached' | 'restored' | 'dropped';
};

/** Runs a transaction as one of the two roles that may list archives. */
export type ArchiveReader = typeof asMaintenance;

/** All archived months, oldest first. */
export function listArchives(pool: Pool, as: ArchiveReader = asMaintenance): Promise<Archive[]> {
  return as(pool, async (tx) => {
    const rows = await tx.query<Omit<Archive, 'rows' | 'unsealed'> & { rows: bigint; unsealed: bigint | null }>(
      `SELECT to_char(month, 'YYYY-MM') AS month, row_count AS rows, row_digest AS "rowDigest", file_name AS file,
         file_sha256 AS sha256, archived_at AS "archivedAt", unsealed, archived_by AS "archivedBy", verified_by AS "verifiedBy",
         verified_at AS "verifiedAt", dropped_by AS "droppedBy",
         CASE WHEN restored_until IS NOT NULL THEN 'restored' WHEN dropped_at IS NOT NULL THEN 'dropped' ELSE 'detached' END AS where
       FROM archived_audit_months()`,
    );
    return rows.map((row) => ({
      ...row,
      rows: Number(row.rows),
      unsealed: row.unsealed === null ? null : Number(row.unsealed),
    }));
  });
}
