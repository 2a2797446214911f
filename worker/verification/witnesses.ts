import type { Pool } from '../../activities/database.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import { keysWithoutRow } from './missing-writes.ts';

/**
 * The newest rows that this process has seen committed. Commits that are close together may be seen in another order than
 * they were made in, hence more than the last one.
 */
export type Witnesses = {
  note(row: Pick<WriteRow, 'outcome' | 'company_id' | 'idempotency_key'>): void;
  /** Whether the server of this incarnation has all of them. Throws where another one answers. */
  areAllThere(live: string): Promise<boolean>;
  clear(): void;
};

const KEPT = 200;

export function createWitnesses(pool: Pool): Witnesses {
  /** By company and key, the oldest first. */
  const rows = new Map<string, { readonly companyId: string; readonly key: string }>();
  return {
    note({ outcome, company_id: companyId, idempotency_key: key }) {
      // An operator may take a lost write's row away.
      if (outcome === 'lost') return;
      const id = `${companyId}/${key}`;
      rows.delete(id);
      rows.set(id, { companyId, key });
      if (rows.size <= KEPT) return;
      for (const oldest of rows.keys()) {
        rows.delete(oldest);
        return;
      }
    },
    async areAllThere(live) {
      if (rows.size === 0) return true;
      return (await keysWithoutRow(pool, live, [...rows.values()])).length === 0;
    },
    clear: () => rows.clear(),
  };
}
