import type { WriteMemo } from '../../../workflows/messages.ts';

/** The memo of the run that marks a reopening: the memo of the run whose record is missing, its ID, and the reason. */
export type ReopeningMemo = WriteMemo & { readonly reopened: string; readonly missingRunId?: string };

export function isReopening(memo: WriteMemo | undefined): memo is ReopeningMemo {
  return memo !== undefined && 'reopened' in memo;
}
