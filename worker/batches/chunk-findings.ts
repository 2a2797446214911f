import type { AuditRow } from '../../activities/audit/record-rows.ts';
import {
  type BatchRow,
  type ChunkRow,
  outcomeOfCharacter,
  ROW_OUTCOMES,
  type RowOutcome,
  type RowProblem,
} from '../../activities/batches/batch-row.ts';
import { type RowApproval, recordChunk } from '../../activities/batches/batch-store.ts';
import type { Pool } from '../../activities/database.ts';

/** What has become of the rows of a chunk so far, and what of that has not been recorded yet. */
export type ChunkFindings = {
  isPending(position: number): boolean;
  /** The row is one of a group that has closed, and did not leave it: a verification that misses its write finds it there. */
  vouch(position: number): void;
  isVouched(position: number): boolean;
  /** `audit`: of what no transaction of a write has recorded. `approval`: of a row that waits for it. */
  note(
    position: number,
    outcome: Exclude<RowOutcome, 'pending'>,
    told?: {
      readonly problem?: RowProblem | undefined;
      readonly audit?: AuditRow;
      readonly operation?: string | undefined;
      readonly approval?: RowApproval;
    },
  ): void;
  /** Records what was noted since the last time, once each. Returns how the batch stands. */
  record(version: string): Promise<BatchRow>;
};

export function createFindings(options: {
  readonly pool: Pool;
  readonly batch: BatchRow;
  readonly chunk: ChunkRow;
  /** Called for rows once they are recorded. `operation`: null where the row names none that there is. */
  onRows(operation: string | null, outcome: RowOutcome, count: number): void;
}): ChunkFindings {
  const { pool, batch, chunk } = options;
  const outcomes = chunk.outcomes.split('');
  const vouched = new Set<number>();
  let problems: Record<number, RowProblem> = {};
  let audit: Record<number, AuditRow> = {};
  let approvals: Record<number, RowApproval> = {};
  let counts = new Map<string, number>();

  return {
    isPending: (position) => outcomes[position] === ROW_OUTCOMES.pending,
    vouch: (position) => void vouched.add(position),
    isVouched: (position) => vouched.has(position),
    note(position, outcome, { problem, audit: row, operation, approval } = {}) {
      outcomes[position] = ROW_OUTCOMES[outcome];
      if (problem !== undefined) problems[position] = problem;
      if (row !== undefined) audit[position] = row;
      if (approval !== undefined) approvals[position] = approval;
      const label = `${operation ?? ''} ${ROW_OUTCOMES[outcome]}`;
      counts.set(label, (counts.get(label) ?? 0) + 1);
    },
    async record(version) {
      const name = { companyId: batch.company_id, batchId: batch.id };
      const noted = { outcomes: outcomes.join(''), problems, audit, approvals };
      const standing = await recordChunk(pool, name, chunk, noted, version);
      for (const [label, count] of counts) {
        const [operation = '', character = ''] = label.split(' ');
        options.onRows(operation === '' ? null : operation, outcomeOfCharacter(character), count);
      }
      problems = {};
      audit = {};
      approvals = {};
      counts = new Map();
      return standing;
    },
  };
}
