import type { WriteArguments } from '../../workflows/messages.ts';
import { classify } from '../failures.ts';
import {
  type Attempt,
  type AttemptFacts,
  type RunDependencies,
  resultOf,
  runOperation,
  transient,
} from './run-operation.ts';
import { isSetOperation, runSet } from './run-set.ts';
import type { WriteRow } from './write-row.ts';

/**
 * One write in a transaction of its own. Where its operation has the form for sets, the first attempt is a set of one: two
 * round trips instead of five. Returns and throws what {@link runOperation} does.
 */
export async function runAlone(
  dependencies: RunDependencies,
  args: WriteArguments,
  attempt: AttemptFacts,
): Promise<Attempt> {
  const row = attempt.attempt === 1 ? await runSetOfOne(dependencies, args, attempt) : undefined;
  return row === undefined
    ? runOperation(dependencies, args, attempt)
    : { result: resultOf(row, true), row, made: true };
}

/** Undefined where there is more to tell than a set can: the key is taken, or the database refused the work. */
async function runSetOfOne(
  dependencies: RunDependencies,
  args: WriteArguments,
  attempt: AttemptFacts,
): Promise<WriteRow | undefined> {
  const operation = dependencies.operations.find(({ name }) => name === args.operation);
  if (!isSetOperation(operation) || args.schemaVersion > operation.schemaVersion) return undefined;
  const item = { args, writeId: attempt.writeId };
  try {
    return (await runSet(dependencies, operation, [item], attempt)).get(item);
  } catch (error) {
    const failure = classify(error);
    if (failure.kind === 'transient') throw transient(failure, error);
    return undefined;
  }
}
