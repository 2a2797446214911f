import { Context } from '@temporalio/activity';
import type { GroupItem, RunFacts, WriteArguments } from '../../workflows/messages.ts';
import { writeId } from '../identity.ts';
import { type RunDependencies, runOperation } from './run-operation.ts';
import type { WriteRow } from './write-row.ts';

export type WriteActivityDependencies = RunDependencies & {
  /** Called with the write's row right after the COMMIT; `made`: this transaction wrote it. */
  onOutcome(args: WriteArguments, row: WriteRow, made: boolean): void;
  onFailedAttempt(args: WriteArguments, error: unknown, attempt: FailedAttempt): void;
  /** Called for an item that leaves the group and continues in its own run. */
  onUngrouped(args: WriteArguments): void;
};

type FailedAttempt = { readonly willRetry: boolean; readonly workflowId: string; readonly writeId: string };

/**
 * The local activity of a group: runs the same transaction as a single write for each item, in parallel up to the size of
 * the pool, and reports each outcome at its COMMIT. Returns the positions of the items without an outcome.
 */
export function createGroupActivity(dependencies: WriteActivityDependencies) {
  return async function runGroup(items: readonly GroupItem[], facts: RunFacts): Promise<{ left: number[] }> {
    const workflowId = Context.current().info.workflowExecution?.workflowId ?? '';
    const left: number[] = [];
    await Promise.all(
      items.map(async ({ args }, index) => {
        const id = writeId(args.companyId, args.operation, args.key);
        try {
          const attempt = { ...facts, writeId: id, workflowId, attempt: 1 };
          const { row, made } = await runOperation(dependencies, args, attempt);
          dependencies.onOutcome(args, row, made);
        } catch (error) {
          // The item's own run decides whether this is a bug or an outage.
          dependencies.onFailedAttempt(args, error, { willRetry: true, workflowId, writeId: id });
          dependencies.onUngrouped(args);
          left.push(index);
        }
      }),
    );
    return { left: left.sort((a, b) => a - b) };
  };
}
