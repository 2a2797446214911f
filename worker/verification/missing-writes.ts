import { type Pool, queryOnce } from '../../activities/database.ts';
import type { LostWrite } from '../../activities/write/lose-write.ts';
import type { GroupOfLane } from './read-lanes.ts';

/** The writes of a group that did not leave it and have no row on the server of this incarnation. */
export async function missingWrites(pool: Pool, live: string, group: GroupOfLane): Promise<readonly LostWrite[]> {
  const { workflowId, runId, startedAt } = group;
  const stayed = group.items
    .filter((_, index) => !group.left.has(index))
    .map(({ args }): LostWrite => ({ args, workflowId, runId, requestedAt: startedAt }));
  const missing = new Set(
    await keysWithoutRow(
      pool,
      live,
      stayed.map(({ args }) => ({ companyId: args.companyId, key: args.key, workflowId, runId })),
    ),
  );
  return stayed.filter((_, position) => missing.has(position));
}

/** A key, and where it is known the run that made its write: an operator may have reopened it. */
export type KeyOfRun = {
  readonly companyId: string;
  readonly key: string;
  readonly workflowId?: string;
  readonly runId?: string;
};

/**
 * Of these keys, the positions of those without a row, but for what an operator has reopened. Throws where another server
 * answers than the one of this incarnation: its rows would prove nothing.
 */
export async function keysWithoutRow(pool: Pool, live: string, keys: readonly KeyOfRun[]): Promise<readonly number[]> {
  if (keys.length === 0) return [];
  const missing = await queryOnce<{ pos: number }>(pool, 'SELECT pos FROM keys_without_row($1, $2, $3, $4, $5)', [
    live,
    keys.map(({ companyId }) => companyId),
    keys.map(({ key }) => key),
    keys.map(({ workflowId }) => workflowId ?? null),
    keys.map(({ runId }) => runId ?? null),
  ]);
  return missing.map(({ pos }) => pos - 1);
}
