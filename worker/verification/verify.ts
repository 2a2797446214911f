import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { type Pool, queryOnce, transaction } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import { inBatches, type LostWrite, loseWrites } from '../../activities/write/lose-write.ts';
import { FIRST_EPOCH } from '../../workflows/messages.ts';
import type { Verification } from '../fence.ts';
import { missingKeyRuns, unlistedSince } from './key-runs.ts';
import { missingWrites } from './missing-writes.ts';
import { createNamedRuns } from './named-runs.ts';
import { nextVersion, readLaneRows, readLanes } from './read-lanes.ts';

/** What a replaced database has lost, as far as Temporal remembers. */
export type Losses = {
  /** The groups and runs that were read. */
  readonly groups: number;
  readonly keyRuns: number;
  /** In the order in which they were found, each key once. */
  readonly lost: readonly LostWrite[];
  /** Writes that have left their group: what becomes of each is decided by its own run. */
  readonly inOwnRuns: number;
  /** Runs whose input cannot be read: what they contained is not known. */
  readonly unreadable: readonly string[];
  /** How many other lives went on from this state of the database, and were lost. */
  readonly lostVersions: number;
};

export type VerifyDependencies = {
  /** Of a login that owns the database. */
  readonly pool: Pool;
  readonly client: Client;
  readonly target: { readonly taskQueue: string };
  readonly operations: readonly Operation[];
};

/**
 * Lists what is lost: each write of the groups that were not settled, open ones too, and each completed run of a key, that
 * has no row. `close`: no process can add to the groups any more. Without it nothing is changed. Throws when PostgreSQL or
 * Temporal does not answer.
 */
export async function findLosses(
  { pool, client, target }: VerifyDependencies,
  { version, live }: Verification,
  options: { readonly close: boolean; onProgress?(read: { groups: number; keyRuns: number }): void },
): Promise<Losses> {
  const runs = createNamedRuns(client, target);
  const lost = new Map<string, LostWrite>();
  const note = (writes: readonly LostWrite[]) => {
    for (const write of writes) {
      const id = `${write.args.companyId}/${write.args.key}`;
      if (!lost.has(id)) lost.set(id, write);
    }
  };
  let groups = 0;
  let inOwnRuns = 0;
  let lostVersions = 0;
  const unreadable: string[] = [];
  const poison = options.close ? ({ version, incarnation: live, because: 'verification' } as const) : undefined;
  for await (const found of readLanes(runs, version, await readLaneRows(pool, version, live), poison)) {
    if (found.kind === 'lost version') lostVersions += 1;
    else if (found.kind === 'unreadable') unreadable.push(found.workflowId);
    else if (found.kind === 'group') {
      groups += 1;
      inOwnRuns += found.group.inOwnRuns;
      note(await missingWrites(pool, live, found.group));
      options.onProgress?.({ groups, keyRuns: 0 });
    }
  }
  const listing = { client, runs, pool, taskQueue: target.taskQueue, live, since: await unlistedSince(pool) };
  const ofKeys = await missingKeyRuns({
    ...listing,
    onProgress: (keyRuns) => options.onProgress?.({ groups, keyRuns }),
  });
  note(ofKeys.missing);
  return {
    groups,
    keyRuns: ofKeys.listed,
    lost: [...lost.values()],
    inOwnRuns,
    unreadable: [...unreadable, ...ofKeys.unreadable],
    lostVersions,
  };
}

/** Who has verified a database, and why it was replaced: it explains what the seal then misses. */
export type Statement = { readonly operator: string; readonly reason: string };

/**
 * States afterwards who has verified the database, and why, where nobody has: an earlier release did not ask. Of a database that
 * was never replaced nothing is stated. Returns whether it was recorded.
 */
export async function stateAfterwards(pool: Pool, { operator, reason }: Statement): Promise<boolean> {
  const stated = await queryOnce(
    pool,
    `INSERT INTO operator_verifications (epoch, operator, reason) SELECT epoch, $1, $2 FROM verification WHERE epoch <> $3
     ON CONFLICT DO NOTHING RETURNING epoch`,
    [operator, reason, FIRST_EPOCH],
  );
  return stated.length > 0;
}

/** So many cursors of events no relay has given out between a restore and the loss. */
const CURSORS_SKIPPED = 1_000_000;

/**
 * Opens a database in one transaction: what is lost is marked, cursors of events and numbers go on behind those that were
 * given out, and version and epoch are new. Returns what was marked; undefined where the database is another one than it was
 * when the losses were listed. A second run, or one after a crash, does no harm.
 */
export function openVerified(
  { pool, operations }: Pick<VerifyDependencies, 'pool' | 'operations'>,
  { version, live }: Verification,
  { lost }: Losses,
  { operator, reason }: Statement,
): Promise<readonly LostWrite[] | undefined> {
  return transaction(pool, async (tx) => {
    const [locked] = await tx.query<{ same: boolean }>(
      `SELECT version = $1 AND incarnation() = $2 AND NOT pg_is_in_recovery() AS same FROM verification FOR UPDATE`,
      [version, live],
    );
    if (locked?.same !== true) return undefined;
    await tx.query(`SELECT setval('outbox_sequence', nextval('outbox_sequence') + $1)`, [
      CURSORS_SKIPPED + lost.length,
    ]);
    const epoch = randomUUID();
    await tx.query('INSERT INTO operator_verifications (epoch, operator, reason) VALUES ($1, $2, $3)', [
      epoch,
      operator,
      reason,
    ]);
    await tx.query(
      `UPDATE verification SET version = $1, epoch = $2, incarnation = $3, key_runs_listed = false,
         key_runs_since = unlisted_since(), continued = false, replaced = NULL, replaced_at = NULL, reconciler = NULL,
         reconciler_until = NULL, verified_at = clock_timestamp()`,
      [nextVersion({ version, incarnation: live }), epoch, live],
    );
    const marked: LostWrite[] = [];
    for (const some of inBatches(lost)) {
      marked.push(...(await loseWrites(tx, some, operations, 'Its row was lost with the database that had it')));
    }
    return marked;
  });
}
