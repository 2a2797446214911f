import type { Tx } from '../database.ts';
import { MONTH_STEPS } from './month-steps.ts';

const COUNTS = MONTH_STEPS.map(
  ({ sqlAsOf }) => `(SELECT count(*)::int FROM (${sqlAsOf}) AS undone WHERE company_id = current_company())`,
);

/**
 * The steps of closing through a day that the transaction's company has not done, a sentence for each, by one statement. For
 * nothing to come between, the company's row has to be locked by an earlier statement: this one has a snapshot of its own.
 */
export async function stepsLeft(tx: Tx, through: string): Promise<readonly string[]> {
  const [row] = await tx.query<{ counts: readonly number[] }>(`SELECT ARRAY[${COUNTS.join(', ')}] AS counts`, [
    through,
  ]);
  return MONTH_STEPS.flatMap(({ undone }, index) => {
    const count = row?.counts[index] ?? 0;
    return count === 0 ? [] : [`${undone(through)}: ${count} left.`];
  });
}
