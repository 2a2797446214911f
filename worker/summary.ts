import type { Operation } from '../activities/operation.ts';
import type { WriteArguments } from '../workflows/messages.ts';

/** Temporal limits a summary to 200 bytes. */
const MAX_SUMMARY = 200;

/** One line for people in the Temporal UI. */
export function summaryOf(operations: readonly Operation[], args: WriteArguments): string {
  const operation = operations.find(({ name }) => name === args.operation);
  return (operation?.summarize(args.input) ?? args.operation).slice(0, MAX_SUMMARY);
}
