import type { WriteArguments } from '../../workflows/messages.ts';
import { isLockTimeout, isNotTrusted } from '../failures.ts';
import { runAlone, runInTurn } from './run-alone.ts';
import { type AttemptFacts, hasEnded } from './run-operation.ts';
import { runSet, type SetItem, SetNeedsApprovals, type SetOperation } from './run-set.ts';
import { NeedsApproval } from './wait-for-approval.ts';
import type { WriteActivityDependencies } from './write-dependencies.ts';
import type { WriteRow } from './write-row.ts';

/** An item of a group; `index` is its position. */
export type Member = { readonly index: number; readonly args: WriteArguments; readonly writeId: string };

/** The transactions of a group's items. Each outcome is reported at its COMMIT. */
export type ItemAttempts = {
  /** One item in a transaction of its own. `metLock`: its set was its brief attempt. Throws what the transaction throws. */
  alone(member: Member, metLock: boolean): Promise<void>;
  /** A set, which has either its outcomes or nothing that is known of. Does not throw. */
  together<M extends Member>(operation: SetOperation, set: readonly M[]): Promise<RestOfSet<M>>;
};

/** The items of a set that have no outcome of it. `isRefused`: the server would refuse each of them as well. */
type RestOfSet<M> = {
  readonly others: readonly M[];
  /** Each needs a run of its own, which waits for its approval. */
  readonly approvals: readonly M[];
  readonly metLock: boolean;
  readonly isRefused: boolean;
};

export function createItemAttempts(
  dependencies: WriteActivityDependencies,
  attempt: Omit<AttemptFacts, 'writeId'>,
): ItemAttempts {
  const { fence } = dependencies;
  return {
    async alone({ args, writeId }, metLock) {
      try {
        const own = { ...attempt, writeId };
        const attempted = metLock
          ? await runInTurn(dependencies, args, own, { patience: 'patient' })
          : await runAlone(dependencies, args, own, () => dependencies.onLockWait(args), false);
        if (!hasEnded(attempted)) throw new NeedsApproval();
        dependencies.onOutcome(args, attempted.row, attempted.made);
      } catch (error) {
        if (isNotTrusted(error)) fence.notice();
        throw error;
      }
    },

    async together(operation, whole) {
      const approvals = new Set<(typeof whole)[number]>();
      let metLock = false;
      let isRefused = false;

      async function attemptSet(set: typeof whole): Promise<ReadonlyMap<SetItem, WriteRow>> {
        try {
          return set.length === 0
            ? new Map()
            : await runSet(dependencies, operation, set, attempt, { patience: 'brief' });
        } catch (error) {
          if (error instanceof SetNeedsApprovals) {
            for (const item of set) if (error.items.has(item)) approvals.add(item);
            // Without them others may be decided otherwise: each round takes some out, until none is left that a policy matches.
            return attemptSet(set.filter((item) => !approvals.has(item)));
          }
          // Not the outcome of any item: alone, each one's own attempt decides.
          dependencies.onFailedSet(operation.name, set.length, error);
          metLock = isLockTimeout(error);
          isRefused = isNotTrusted(error);
          if (isRefused) fence.notice();
          if (metLock) for (const { args } of set) dependencies.onLockWait(args);
          return new Map();
        }
      }

      const done = await attemptSet(whole);
      if (done.size > 0) dependencies.onSet(done.size);
      for (const [{ args }, row] of done) dependencies.onOutcome(args, row, true);
      return {
        others: whole.filter((item) => !done.has(item) && !approvals.has(item)),
        approvals: [...approvals],
        metLock,
        isRefused,
      };
    },
  };
}
