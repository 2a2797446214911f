import type pg from 'pg';
import { OPERATIONS } from '../../activities/operation-list.ts';

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
    equation('=', {
      'changes of the settings': count('settings_changes'),
      'versions of the settings after the first': count('settings_versions'),
    }),
    equation('=', {
      'decisions about writes that waited': count('decisions'),
      'rows of them in the security log': count('decision_rows'),
    }),
    equation('=', { 'writes that waited': count('waited'), 'of them with an outcome': count('waited_ended') }),
    equation('=', { 'keys cancelled': count('cancelled'), '`failed` audit rows that say so': count('cancelled_rows') }),
    equation('≤', { 'replays answered': answered.replays, '`replayed` audit rows': count('replayed_rows') }),
    equation('≤', { 'mismatches answered': answered.mismatches, '`failed` audit rows of them': count('reused_rows') }),
  ];
}

/** When an operation that posts only in some cases does so: in a success `w` of which this holds. */
const POSTS_WHEN: Readonly<Record<string, string>> = {
  createInventoryItem: `(request #>> '{body,openingQuantity}')::int > 0`,
  reconcileLedger: `(
      SELECT t.amount_minor FROM bank_transactions t
      WHERE t.company_id = $1 AND t.id = (w.request #>> '{params,bankTransactionId}')::uuid
    ) <> (
      SELECT coalesce(sum(l.amount_minor), 0) FROM jsonb_array_elements(w.request #> '{body,matches}') AS m
      JOIN journal_lines l ON l.company_id = $1 AND l.id = (m ->> 'journalLineId')::uuid
    )`,
};
/** Of any other, the entry itself is taken for the reason. */
const HAS_ENTRY = 'EXISTS (SELECT FROM journal_entries e WHERE e.company_id = $1 AND e.write_id = w.write_id)';

const posting = OPERATIONS.filter(({ effects }) => effects.posts !== 'never')
  .map(({ name, effects }) => {
    const when = effects.posts === 'always' ? 'true' : (POSTS_WHEN[name] ?? HAS_ENTRY);
    return `WHEN '${name}' THEN ${when}`;
  })
  .join('\n    ');

const COUNT = `
WITH w AS (SELECT * FROM idempotent_writes WHERE company_id = $1),
a AS (SELECT * FROM idempotent_write_audit_log WHERE company_id = $1)
SELECT (SELECT count(*) FILTER (WHERE outcome = 'succeeded') FROM w)::int AS succeeded,
  (SELECT count(*) FILTER (WHERE outcome = 'rejected') FROM w)::int AS rejected,
  (SELECT count(*) FILTER (WHERE outcome = 'cancelled') FROM w)::int AS cancelled,
  (SELECT count(*) FROM w WHERE outcome = 'succeeded' AND CASE operation
    ${posting} ELSE false END)::int AS posting,
  (SELECT count(*) FROM journal_entries WHERE company_id = $1)::int AS entries,
  (SELECT count(*) FROM w WHERE outcome = 'succeeded' AND operation = 'updateCompanySettings')::int AS settings_changes,
  (SELECT count(*) FROM settings_versions v LEFT JOIN w ON w.write_id = v.write_id WHERE v.company_id = $1 AND v.version > 1
    -- Closing a fiscal year may close the books further, and reopening it may open them.
    AND coalesce(w.operation, '') NOT IN ('closeFiscalYear', 'reopenFiscalYear'))::int AS settings_versions,
  (SELECT count(*) FROM approval_decisions WHERE company_id = $1)::int AS decisions,
  (SELECT count(*) FROM security_log WHERE company_id = $1 AND event = 'approval_decided')::int AS decision_rows,
  (SELECT count(*) FROM approval_requests WHERE company_id = $1)::int AS waited,
  (SELECT count(*) FROM approval_requests r JOIN w USING (idempotency_key)
    WHERE r.company_id = $1 AND w.outcome IS NOT NULL AND r.closed_at IS NOT NULL)::int AS waited_ended,
  (SELECT count(*) FROM outbox WHERE company_id = $1)::int AS events,
  count(*) FILTER (WHERE status = 'new')::int AS new_rows,
  count(*) FILTER (WHERE status = 'replayed')::int AS replayed_rows,
  count(*) FILTER (WHERE status = 'failed' AND error_code = 'write_cancelled')::int AS cancelled_rows,
  count(*) FILTER (WHERE status = 'failed' AND error_code = 'idempotency_key_reused')::int AS reused_rows,
  count(*) FILTER (WHERE status = 'failed' AND error_code NOT IN
    ('write_cancelled', 'idempotency_key_reused', 'write_failed', 'write_record_missing'))::int AS refused_rows
FROM a`;
