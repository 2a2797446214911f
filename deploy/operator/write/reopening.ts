import type { WriteMemo } from '../../../workflows/messages.ts';

/** The memo of the run that stands for a reopening: that of the run whose record is missing, and why it was reopened. */
export type ReopeningMemo = WriteMemo & { readonly reopened: string };

export function isReopening(memo: WriteMemo | undefined): memo is ReopeningMemo {
  return memo !== undefined && 'reopened' in memo;
}
