import type { Answer } from './client.ts';

/** How often each status and code was answered: `{ '201': 11, '422 refund_exceeds_payment': 9 }`. */
export function tally(answers: readonly Answer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, json } of answers) {
    const said = json.code === undefined ? String(status) : `${status} ${json.code}`;
    counts[said] = (counts[said] ?? 0) + 1;
  }
  return counts;
}
