import { Context } from '@temporalio/activity';
import type { GroupItem, RunFacts, WriteArguments } from '../../workflows/messages.ts';
import { type RunDependencies, runOperation } from './run-operation.ts';
import type { WriteRow } from './write-row.ts';

export type GroupDependencies = RunDependencies & {
  /** Called with the write's row right after the COMMIT; `made`: this transaction wrote it. */
  onOutcome(args: WriteArguments, row: WriteRow, made: boolean): void;
  onFailedAttempt(args: WriteArguments, error: unknown, attempt: { willRetry: boolean; workflowId: string }): void;
  /** Called for an item that leaves the group and continues in its own run. */
  onUngrouped(args: WriteArguments): void;
};

/**
 * The local activity of a group: runs the same transaction as a single write for each item, in parallel up to the size of
 * the pool, and reports each outcome at its COMMIT. Returns the positions of the items without an outcome.
 */
export function createGroupActivity(dependencies: GroupDependencies) {
  return async function runGroup(items: readonly GroupItem[], facts: RunFacts): Promise<{ left: number[] }> {
    const workflowId = Context.current().info.workflowExecution?.workflowId ?? '';
    const left: number[] = [];
    await Promise.all(
      items.map(async ({ args }, index) => {
        try {
          const { row, made } = await runOperation(dependencies, args, { ...facts, workflowId, attempt: 1 });
          dependencies.onOutcome(args, row, made);
        } catch (error) {
          // The item's own run decides whether this is a bug or an outage.
          dependencies.onFailedAttempt(args, error, { willRetry: true, workflowId });
          dependencies.onUngrouped(args);
          left.push(index);
        }
      }),
    );
    return { left: left.sort((a, b) => a - b) };
  };
}
