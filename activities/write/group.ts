import { Context } from '@temporalio/activity';
import type { GroupItem, RunFacts, WriteArguments } from '../../workflows/messages.ts';
import { type RunDependencies, runOperation } from './run-operation.ts';
import type { WriteRow } from './write-row.ts';

export type GroupDependencies = RunDependencies & {
  /** Told of the row that stands, right after the COMMIT; `made`: by this very transaction. */
  onOutcome(args: WriteArguments, row: WriteRow, made: boolean): void;
  onFailedAttempt(args: WriteArguments, error: unknown, attempt: { willRetry: boolean; workflowId: string }): void;
  /** Told of an item that goes on in a run of its own. */
  onUngrouped(args: WriteArguments): void;
};

/**
 * The local activity of a group: the very same transaction for each item, side by side as far as the pool goes, each
 * outcome handed over at its COMMIT. Answers the positions of the items that got none.
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
          // Not this group's to judge: the item's own run tells a bug from an outage.
          dependencies.onFailedAttempt(args, error, { willRetry: true, workflowId });
          dependencies.onUngrouped(args);
          left.push(index);
        }
      }),
    );
    return { left: left.sort((a, b) => a - b) };
  };
}
