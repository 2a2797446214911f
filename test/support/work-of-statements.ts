import type { Tx } from '../../activities/database.ts';

/** What the statements of a read have done, besides their result. */
export type Work = {
  /** Rows that the nodes of the plans have returned or removed, each node counted for itself. */
  rows: number;
  /** Pages that they have asked for, most of them in memory. */
  buffers: number;
};

/** The same transaction, which measures each statement that reads: it is run by EXPLAIN, and then for its result. */
export function measured(tx: Tx): { readonly tx: Tx; readonly work: Work } {
  const work = { rows: 0, buffers: 0 };
  return {
    work,
    tx: {
      async query<Row>(text: string, values: readonly unknown[] = []) {
        if (/^\s*(SELECT|WITH)\b/.test(text) && !text.includes('set_config')) {
          const plan = await explain(tx, text, values);
          work.rows += rowsOf(plan);
          work.buffers += plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
        }
        return tx.query<Row>(text, values);
      },
    },
  };
}

type Plan = {
  readonly 'Actual Loops': number;
  readonly 'Actual Rows': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Join Filter'?: number;
  readonly 'Rows Removed by Index Recheck'?: number;
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
  readonly Plans?: readonly Plan[];
};

async function explain(tx: Tx, text: string, values: readonly unknown[]): Promise<Plan> {
  const [row] = await tx.query<{ 'QUERY PLAN': readonly [{ readonly Plan: Plan }] }>(
    `EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ${text}`,
    values,
  );
  if (row === undefined) throw new Error('EXPLAIN returned no plan');
  return row['QUERY PLAN'][0].Plan;
}

function rowsOf(plan: Plan): number {
  const removed = [
    plan['Rows Removed by Filter'],
    plan['Rows Removed by Join Filter'],
    plan['Rows Removed by Index Recheck'],
  ].reduce<number>((sum, rows = 0) => sum + rows, 0);
  const own = (plan['Actual Rows'] + removed) * plan['Actual Loops'];
  return (plan.Plans ?? []).reduce((sum, child) => sum + rowsOf(child), own);
}
