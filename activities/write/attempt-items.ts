import type { WriteArguments } from '../../workflows/messages.ts';
import { isLockTimeout, isNotTrusted } from '../failures.ts';
import { runAlone, runInTurn } from './run-alone.ts';
import type { AttemptFacts } from './run-operation.ts';
import { runSet, type SetItem, type SetOperation } from './run-set.ts';
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
type RestOfSet<M> = { readonly others: readonly M[]; readonly metLock: boolean; readonly isRefused: boolean };

export function createItemAttempts(
  dependencies: WriteActivityDependencies,
  attempt: Omit<AttemptFacts, 'writeId'>,
): ItemAttempts {
  const { fence } = dependencies;
  return {
    async alone({ args, writeId }, metLock) {
      try {
        const own = { ...attempt, writeId };
        const { row, made } = metLock
          ? await runInTurn(dependencies, args, own, { patience: 'patient' })
          : await runAlone(dependencies, args, own, () => dependencies.onLockWait(args), false);
        dependencies.onOutcome(args, row, made);
      } catch (error) {
        if (isNotTrusted(error)) fence.notice();
        throw error;
      }
    },

    async together(operation, set) {
      let metLock = false;
      let isRefused = false;
      const done = await runSet(dependencies, operation, set, attempt, { patience: 'brief' }).catch(
        (error: unknown) => {
          // Not the outcome of any item: alone, each one's own attempt decides.
          dependencies.onFailedSet(operation.name, set.length, error);
          metLock = isLockTimeout(error);
          isRefused = isNotTrusted(error);
          if (isRefused) fence.notice();
          if (metLock) for (const { args } of set) dependencies.onLockWait(args);
          return new Map<SetItem, WriteRow>();
        },
      );
      if (done.size > 0) dependencies.onSet(done.size);
      for (const [{ args }, row] of done) dependencies.onOutcome(args, row, true);
      return { others: set.filter((item) => !done.has(item)), metLock, isRefused };
    },
  };
}
