import type pg from 'pg';
import { EFFECTS } from '../../activities/controls/effects.ts';

/** Counts of one company that must be equal, or of which the first may be less, where `relation` says so. */
export type Equation = {
  readonly of: readonly string[];
  readonly relation: '=' | '≤';
  readonly counts: readonly number[];
  readonly holds: boolean;
};

/** What the answers to one company's requests were. */
export type AnsweredCounts = { readonly replays: number; readonly mismatches: number };

/** The record of the writes, the audit log, the events and the books, counted against each other. */
export async function countCompany(
  auditor: pg.Client,
  companyId: string,
  answered: AnsweredCounts,
): Promise<readonly Equation[]> {
  const { rows } = await auditor.query<Record<string, number>>(COUNT, [companyId]);
  const found = rows[0] ?? {};
  const count = (name: string) => found[name] ?? 0;
  const equation = (relation: Equation['relation'], counts: Readonly<Record<string, number>>): Equation => {
    const values = Object.values(counts);
    const holds = values.every((value, index) => {
      const before = values[index - 1] ?? value;
      return relation === '=' ? before === value : before <= value;
    });
    return { of: Object.keys(counts), relation, counts: values, holds };
  };
  return [
    equation('=', {
      'writes succeeded': count('succeeded'),
      '`new` audit rows': count('new_rows'),
      events: count('events'),
    }),
    equation('=', { 'successes that post': count('posting'), entries: count('entries') }),
    equation('=', {
      'writes rejected': count('rejected'),
      '`failed` audit rows with their codes': count('refused_rows'),
    }),
    equation('=', { 'keys cancelled': count('cancelled'), '`failed` audit rows that say so': count('cancelled_rows') }),
    equation('≤', { 'replays answered': answered.replays, '`replayed` audit rows': count('replayed_rows') }),
    equation('≤', { 'mismatches answered': answered.mismatches, '`failed` audit rows of them': count('reused_rows') }),
  ];
}

const posting = Object.entries(EFFECTS)
  .filter(([, { posts }]) => posts === 'always')
  .map(([name]) => `'${name}'`)
  .join(', ');

/** What posts only in some cases: an item that begins with a quantity, and a reconciliation that leaves a difference. */
const COUNT = `
WITH w AS (SELECT * FROM idempotent_writes WHERE company_id = $1),
a AS (SELECT * FROM idempotent_write_audit_log WHERE company_id = $1)
SELECT (SELECT count(*) FILTER (WHERE outcome = 'succeeded') FROM w)::int AS succeeded,
  (SELECT count(*) FILTER (WHERE outcome = 'rejected') FROM w)::int AS rejected,
  (SELECT count(*) FILTER (WHERE outcome = 'cancelled') FROM w)::int AS cancelled,
  (SELECT count(*) FROM w WHERE outcome = 'succeeded' AND (operation IN (${posting})
    OR operation = 'createInventoryItem' AND (request #>> '{body,openingQuantity}')::int > 0
    OR operation = 'reconcileLedger' AND (
      SELECT t.amount_minor FROM bank_transactions t
      WHERE t.company_id = $1 AND t.id = (w.request #>> '{params,bankTransactionId}')::uuid
    ) <> (
      SELECT coalesce(sum(l.amount_minor), 0) FROM jsonb_array_elements(w.request #> '{body,matches}') AS m
      JOIN journal_lines l ON l.company_id = $1 AND l.id = (m ->> 'journalLineId')::uuid
    )))::int AS posting,
  (SELECT count(*) FROM journal_entries WHERE company_id = $1)::int AS entries,
  (SELECT count(*) FROM outbox WHERE company_id = $1)::int AS events,
  count(*) FILTER (WHERE status = 'new')::int AS new_rows,
  count(*) FILTER (WHERE status = 'replayed')::int AS replayed_rows,
  count(*) FILTER (WHERE status = 'failed' AND error_code = 'write_cancelled')::int AS cancelled_rows,
  count(*) FILTER (WHERE status = 'failed' AND error_code = 'idempotency_key_reused')::int AS reused_rows,
  count(*) FILTER (WHERE status = 'failed' AND error_code NOT IN
    ('write_cancelled', 'idempotency_key_reused', 'write_failed'))::int AS refused_rows
FROM a`;
