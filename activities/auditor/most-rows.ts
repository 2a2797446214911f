import { type Finding, findingOf } from './finding.ts';

/** So many rows of one question are told: whoever has more to look into sees the others when these are explained. */
export const MOST_ROWS = 1_000;

export function thereIsMore(kind: string): Finding {
  return findingOf({ kind, detail: `There are more of these than the ${MOST_ROWS} that are listed.` });
}
