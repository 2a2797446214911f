import type { ChunkOptions, GroupAttempt, LeftItem } from '../../workflows/messages.ts';
import { TransientFailure } from '../failures.ts';
import { createItemAttempts, type Member } from './attempt-items.ts';
import { layersOf } from './chunk-layers.ts';
import { bareName, createNamedSet, isShared, namedResources } from './named-resources.ts';
import type { AttemptFacts } from './run-operation.ts';
import { canShareSet, type SetOperation } from './run-set.ts';
import { NeedsApproval } from './wait-for-approval.ts';
import type { WriteActivityDependencies } from './write-dependencies.ts';

type Row = Member & { readonly names: readonly string[] };

/**
 * The items of a batch's chunk: rows of a file, of one company. As in any group, those of one operation share a transaction, at
 * most `setSize` of them, and the others have their own. But rows that name the same resource keep their order: one that comes
 * after another is attempted once that has its outcome, and left without an attempt if that has none. After `signal`, the chunk
 * may be run elsewhere already, and no further transaction begins. What a bug has left without an outcome is not in the audit
 * log: whoever has started the group tells of it.
 */
export async function attemptChunk(
  dependencies: WriteActivityDependencies,
  members: readonly Member[],
  attempt: Omit<AttemptFacts, 'writeId'>,
  { setSize, signal }: ChunkOptions & { readonly signal: AbortSignal },
): Promise<GroupAttempt> {
  requireOneCompany(members);
  const { alone, together } = createItemAttempts(dependencies, attempt);
  const failures = new Map<number, LeftItem['failure']>();
  /** What the rows without an outcome name: it has to wait until they have one. */
  const waitedFor = createNamedSet();

  function leave(row: Row, failure: NonNullable<LeftItem['failure']>): void {
    failures.set(row.index, failure);
    // It may be long until somebody approves: the rows after it go on.
    if (failure !== 'approval') waitedFor.add(row.names);
  }

  function mayBegin(row: Row): boolean {
    if (!signal.aborted && !waitedFor.meets(row.names)) return true;
    leave(row, 'transient');
    return false;
  }

  async function runRow(row: Row, metLock: boolean): Promise<void> {
    if (!mayBegin(row)) return;
    try {
      await alone(row, metLock);
    } catch (error) {
      if (error instanceof NeedsApproval) {
        leave(row, 'approval');
        return;
      }
      const willRetry = error instanceof TransientFailure;
      const { workflowId } = attempt;
      dependencies.onFailedAttempt(row.args, error, { willRetry, workflowId, writeId: row.writeId });
      leave(row, willRetry ? 'transient' : 'bug');
    }
  }

  /** Each after those before it with which it keeps its order, and beside all others. */
  async function runRows(rows: readonly Row[], metLock: boolean): Promise<void> {
    const turns = createTurns();
    await Promise.all(rows.map((row) => turns.after(row.names, () => runRow(row, metLock))));
  }

  async function runSets(operation: SetOperation, rows: readonly Row[]): Promise<void> {
    for (let from = 0; from < rows.length; from += setSize) {
      const set = rows.slice(from, from + setSize).filter(mayBegin);
      if (set.length < 2) {
        await runRows(set, false);
        continue;
      }
      const { others, approvals, metLock, isRefused } = await together(operation, set);
      for (const row of approvals) leave(row, 'approval');
      if (isRefused) for (const row of others) leave(row, 'transient');
      else await runRows(others, metLock);
    }
  }

  const setOperationOf = ({ args }: Row) => {
    const operation = dependencies.operations.find(({ name }) => name === args.operation);
    return canShareSet(operation, args.schemaVersion) ? operation : undefined;
  };
  const rows = members.map((member) => ({ ...member, names: namedResources(member.args) }));
  for (const layer of layersOf(rows, (row) => setOperationOf(row) !== undefined)) {
    const sets = new Map<SetOperation, Row[]>();
    const others: Row[] = [];
    for (const row of layer) {
      const operation = setOperationOf(row);
      if (operation === undefined) others.push(row);
      else if (!sets.get(operation)?.push(row)) sets.set(operation, [row]);
    }
    await Promise.all([...[...sets].map(([operation, set]) => runSets(operation, set)), runRows(others, false)]);
  }
  const left = [...failures.keys()].sort((a, b) => a - b);
  const leftBy = (failure: LeftItem['failure']) => left.filter((index) => failures.get(index) === failure);
  return { left, bugs: leftBy('bug'), approvals: leftBy('approval') };
}

/** Work that keeps its order where it names the same. */
function createTurns() {
  /** Of the last work that did not share the name, if any, and of all since then that did. */
  const ends = new Map<string, { readonly alone: readonly Promise<void>[]; readonly shared: Promise<void>[] }>();
  return {
    after(names: readonly string[], work: () => Promise<void>): Promise<void> {
      const before = names.flatMap((name) => {
        const { alone = [], shared = [] } = ends.get(bareName(name)) ?? {};
        return isShared(name) ? alone : [...alone, ...shared];
      });
      const end = Promise.all(before).then(work);
      for (const name of names) {
        const known = ends.get(bareName(name));
        if (!isShared(name)) ends.set(bareName(name), { alone: [end], shared: [] });
        else if (known === undefined) ends.set(bareName(name), { alone: [], shared: [end] });
        else known.shared.push(end);
      }
      return end;
    },
  };
}

function requireOneCompany(members: readonly Member[]): void {
  if (new Set(members.map(({ args }) => args.companyId)).size > 1) throw new Error('Bug! A chunk is of one company');
}
