import { Context } from '@temporalio/activity';
import type { GroupAttempt, GroupFacts, GroupItem } from '../../workflows/messages.ts';
import { crashPoint } from '../crash-points.ts';
import { writeId } from '../identity.ts';
import type { Operation } from '../operation.ts';
import { createItemAttempts, type Member } from './attempt-items.ts';
import { isOfEarlierEpoch, requireTrust } from './fence.ts';
import { refusing, requireOwnItems, requireSetSize } from './own-run.ts';
import { attemptChunk } from './run-chunk.ts';
import type { AttemptFacts } from './run-operation.ts';
import { canShareSet, type SetItem, type SetOperation } from './run-set.ts';
import { NeedsApproval } from './wait-for-approval.ts';
import type { WriteActivityDependencies } from './write-dependencies.ts';

/**
 * The local activity of a group. The items of one company and one operation share a transaction where the operation has a
 * form for sets; every other item, and every item of a set that came to nothing, gets a transaction of its own. They run in
 * parallel up to the size of the pool, those that wait for locks up to their company's share, and each outcome is reported
 * at its COMMIT. They claim with the group's stamp: a group that was started on another incarnation of the server makes
 * nothing, and its items go on in their own runs. Returns the positions of the items without an outcome. What is other in the
 * chunk of a batch: {@link attemptChunk}.
 */
export function createGroupActivity(dependencies: WriteActivityDependencies) {
  const { fence } = dependencies;
  return async function runGroup(items: readonly GroupItem[], facts: GroupFacts): Promise<GroupAttempt> {
    const { info, cancellationSignal } = Context.current();
    const workflowId = info.workflowExecution?.workflowId ?? '';
    const { requestedAt, stamp, chunk } = facts;
    refusing(dependencies, workflowId, () => {
      requireOwnItems(items);
      if (chunk !== undefined) requireSetSize(chunk);
    });
    const known = requireTrust(fence);
    if (isOfEarlierEpoch(stamp, known)) return { left: items.map((_, index) => index) };
    const attempt = { requestedAt, workflowId, attempt: 1, trust: stamp ?? known };
    const members = items.map(({ args }, index) => ({
      index,
      args,
      writeId: writeId(args.companyId, args.operation, args.key),
    }));
    const attempted =
      chunk === undefined
        ? await attemptGroup(dependencies, members, attempt)
        : await attemptChunk(dependencies, members, attempt, { ...chunk, signal: cancellationSignal });
    crashPoint('outcome: handed over');
    return attempted;
  };
}

async function attemptGroup(
  dependencies: WriteActivityDependencies,
  members: readonly Member[],
  attempt: Omit<AttemptFacts, 'writeId'>,
): Promise<GroupAttempt> {
  const { alone, together } = createItemAttempts(dependencies, attempt);
  const left: number[] = [];

  function leave({ index, args }: Member): void {
    dependencies.onUngrouped(args);
    left.push(index);
  }

  async function runItem(member: Member, metLock: boolean): Promise<void> {
    try {
      await alone(member, metLock);
    } catch (error) {
      if (error instanceof NeedsApproval) {
        leave(member);
        return;
      }
      // The item's own run decides whether this is a bug or an outage.
      const { workflowId } = attempt;
      dependencies.onFailedAttempt(member.args, error, { willRetry: true, workflowId, writeId: member.writeId });
      leave(member);
    }
  }

  async function runTogether(operation: SetOperation, set: readonly Member[]): Promise<void> {
    const { others, approvals, metLock, isRefused } = await together(operation, set);
    for (const item of approvals) leave(item);
    if (isRefused) for (const item of others) leave(item);
    else await Promise.all(others.map((item) => runItem(item, metLock)));
  }

  const { sets, others } = partition(members, dependencies.operations);
  await Promise.all([
    ...sets.map(({ operation, set }) => runTogether(operation, set)),
    ...others.map((item) => runItem(item, false)),
  ]);
  return { left: left.sort((a, b) => a - b) };
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
    if (!canShareSet(operation, schemaVersion) || open?.keys.has(key)) others.push(item);
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
