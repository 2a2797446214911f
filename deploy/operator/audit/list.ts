import { asMaintenance } from '../../../activities/audit/archive-month.ts';
import type { Pool } from '../../../activities/database.ts';

export type Archive = {
  readonly month: string;
  readonly rows: number;
  readonly rowDigest: string;
  readonly file: string;
  readonly sha256: string;
  readonly archivedAt: string;
  /** `detached`: in a separate table; `restored`: in the log again; `dropped`: only in its file. */
  readonly where: 'detached' | 'restored' | 'dropped';
};

/** All archived months, oldest first. */
export function listArchives(pool: Pool): Promise<Archive[]> {
  return asMaintenance(pool, async (tx) => {
    const rows = await tx.query<Omit<Archive, 'rows'> & { rows: bigint }>(
      `SELECT to_char(month, 'YYYY-MM') AS month, row_count AS rows, row_digest AS "rowDigest", file_name AS file,
         file_sha256 AS sha256, archived_at AS "archivedAt",
         CASE WHEN restored_until IS NOT NULL THEN 'restored' WHEN dropped_at IS NOT NULL THEN 'dropped' ELSE 'detached' END AS where
       FROM archived_audit_months()`,
    );
    return rows.map((row) => ({ ...row, rows: Number(row.rows) }));
  });
}
