import { Context } from '@temporalio/activity';
import type { GroupFacts, GroupItem, WriteArguments } from '../../workflows/messages.ts';
import { crashPoint } from '../crash-points.ts';
import { isLockTimeout, isNotTrusted } from '../failures.ts';
import { writeId } from '../identity.ts';
import type { Operation } from '../operation.ts';
import { type Fence, isOfEarlierEpoch, requireTrust } from './fence.ts';
import { refusing, requireOwnItems } from './own-run.ts';
import { runAlone, runInTurn } from './run-alone.ts';
import type { RunDependencies } from './run-operation.ts';
import { isSetOperation, runSet, type SetItem, type SetOperation } from './run-set.ts';
import type { WriteRow } from './write-row.ts';

export type WriteActivityDependencies = RunDependencies & {
  readonly fence: Fence;
  /** Called with the write's row right after the COMMIT; `made`: this transaction wrote it. */
  onOutcome(args: WriteArguments, row: WriteRow, made: boolean): void;
  onFailedAttempt(args: WriteArguments, error: unknown, attempt: FailedAttempt): void;
  /** Called for a committed set, with the number of its writes. */
  onSet(items: number): void;
  /** Called for a set that was rolled back, or whose COMMIT is unknown; its items go on one by one. */
  onFailedSet(operation: string, items: number, error: unknown): void;
  /** Called for a write that met a lock and now waits for it: it may be long until its outcome. */
  onLockWait(args: WriteArguments): void;
  /** Called for a run that this system has not started; nothing of it is done. */
  onRefused(error: unknown, workflowId: string): void;
  /** Called for an item that leaves the group and continues in its own run. */
  onUngrouped(args: WriteArguments): void;
};

type FailedAttempt = { readonly willRetry: boolean; readonly workflowId: string; readonly writeId: string };

/**
 * The local activity of a group. The items of one company and one operation share a transaction where the operation has a
 * form for sets; every other item, and every item of a set that came to nothing, gets a transaction of its own. They run in
 * parallel up to the size of the pool, those that wait for locks up to their company's share, and each outcome is reported
 * at its COMMIT. They claim with the group's stamp: a group that was started on another incarnation of the server makes
 * nothing, and its items go on in their own runs. Returns the positions of the items without an outcome.
 */
export function createGroupActivity(dependencies: WriteActivityDependencies) {
  const { fence } = dependencies;
  return async function runGroup(items: readonly GroupItem[], facts: GroupFacts): Promise<{ left: number[] }> {
    const workflowId = Context.current().info.workflowExecution?.workflowId ?? '';
    refusing(dependencies, workflowId, () => requireOwnItems(items));
    const known = requireTrust(fence);
    if (isOfEarlierEpoch(facts.stamp, known)) return { left: items.map((_, index) => index) };
    const { requestedAt, stamp } = facts;
    const attempt = { requestedAt, workflowId, attempt: 1, trust: stamp ?? known };
    const left: number[] = [];
    const members = items.map(({ args }, index) => ({
      index,
      args,
      writeId: writeId(args.companyId, args.operation, args.key),
    }));

    function leave({ index, args }: Pick<(typeof members)[number], 'index' | 'args'>): void {
      dependencies.onUngrouped(args);
      left.push(index);
    }

    /** A set that met a lock is the brief attempt of each of its items. */
    async function runItem({ index, args, writeId }: (typeof members)[number], metLock: boolean): Promise<void> {
      try {
        const own = { ...attempt, writeId };
        const { row, made } = metLock
          ? await runInTurn(dependencies, args, own, { patience: 'patient' })
          : await runAlone(dependencies, args, own, () => dependencies.onLockWait(args), false);
        dependencies.onOutcome(args, row, made);
      } catch (error) {
        if (isNotTrusted(error)) fence.notice();
        // The item's own run decides whether this is a bug or an outage.
        dependencies.onFailedAttempt(args, error, { willRetry: true, workflowId, writeId });
        leave({ index, args });
      }
    }

    async function runTogether(operation: SetOperation, set: typeof members): Promise<void> {
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
      const others = set.filter((item) => !done.has(item));
      // The server refuses each of them.
      if (isRefused) for (const item of others) leave(item);
      else await Promise.all(others.map((item) => runItem(item, metLock)));
    }

    const { sets, others } = partition(members, dependencies.operations);
    await Promise.all([
      ...sets.map(({ operation, set }) => runTogether(operation, set)),
      ...others.map((item) => runItem(item, false)),
    ]);
    crashPoint('outcome: handed over');
    return { left: left.sort((a, b) => a - b) };
  };
}

/** The items that can share a transaction, in their order, and the others: of a set of one nothing is shared. */
function partition<Item extends SetItem>(items: readonly Item[], operations: readonly Operation[]) {
  const sets = new Map<
    string,
    { readonly operation: SetOperation; readonly set: Item[]; readonly keys: Set<string> }
  >();
  const others: Item[] = [];
  for (const item of items) {
    const { companyId, operation: name, key, schemaVersion } = item.args;
    const operation = operations.find((one) => one.name === name);
    const id = `${companyId}/${name}`;
    const open = sets.get(id);
    // Two bodies under one key: which of them is the write is decided between their own transactions.
    if (!isSetOperation(operation) || schemaVersion > operation.schemaVersion || open?.keys.has(key)) others.push(item);
    else if (open === undefined) sets.set(id, { operation, set: [item], keys: new Set([key]) });
    else {
      open.set.push(item);
      open.keys.add(key);
    }
  }
  const whole = [...sets.values()];
  return {
    sets: whole.filter(({ set }) => set.length > 1),
    others: [...others, ...whole.filter(({ set }) => set.length === 1).flatMap(({ set }) => set)],
  };
}
