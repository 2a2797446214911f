import type { WriteArguments } from '../../workflows/messages.ts';
import { classify, isLockTimeout } from '../failures.ts';
import type { Turn } from '../shares.ts';
import {
  type Attempt,
  type AttemptFacts,
  type RunDependencies,
  resultOf,
  runOperation,
  transient,
} from './run-operation.ts';
import { canShareSet, runSet } from './run-set.ts';
import type { WriteRow } from './write-row.ts';

/**
 * One write in a transaction of its own. Its first attempt is brief: when it meets a lock, it is made again in its company's
 * share of the patient ones, and `onLockWait` is called before. So is a later one, unless the company waits for locks
 * already: what has failed for another reason needs no patient turn. Returns and throws what {@link runOperation} does.
 * `takesSlot`: it is the run of a key, not an item of a group.
 */
export async function runAlone(
  dependencies: RunDependencies,
  args: WriteArguments,
  attempt: AttemptFacts,
  onLockWait: () => void,
  takesSlot: boolean,
): Promise<Attempt> {
  if (attempt.attempt === 1 || !dependencies.database.writes.shares.hasPatient(args.companyId)) {
    try {
      return await runInTurn(dependencies, args, attempt, { patience: 'brief', takesSlot });
    } catch (error) {
      if (!metLock(error)) throw error;
    }
    onLockWait();
  }
  return runInTurn(dependencies, args, attempt, { patience: 'patient', takesSlot });
}

/** Where the operation has the form for sets, the first attempt is a set of one: two round trips instead of five. */
export async function runInTurn(
  dependencies: RunDependencies,
  args: WriteArguments,
  attempt: AttemptFacts,
  turn: Omit<Turn, 'companyId'>,
): Promise<Attempt> {
  const row = attempt.attempt === 1 ? await runSetOfOne(dependencies, args, attempt, turn) : undefined;
  return row === undefined
    ? runOperation(dependencies, args, attempt, turn)
    : { result: resultOf(row, true), row, made: true };
}

/** Undefined where there is more to tell than a set can: the key is taken, or the database refused the work. */
async function runSetOfOne(
  dependencies: RunDependencies,
  args: WriteArguments,
  attempt: AttemptFacts,
  turn: Omit<Turn, 'companyId'>,
): Promise<WriteRow | undefined> {
  const operation = dependencies.operations.find(({ name }) => name === args.operation);
  if (!canShareSet(operation, args.schemaVersion)) return undefined;
  const item = { args, writeId: attempt.writeId };
  try {
    return (await runSet(dependencies, operation, [item], attempt, turn)).get(item);
  } catch (error) {
    const failure = classify(error);
    if (failure.kind === 'transient') throw transient(failure, error);
    return undefined;
  }
}

function metLock(error: unknown): boolean {
  return error instanceof Error && isLockTimeout(error.cause);
}
