import type { Control } from './control.ts';

/** Of the writes that an approval policy has matched. */
export const APPROVAL_CONTROLS: readonly Control[] = [
  {
    name: 'approved-by-others',
    sentence:
      'A write that an approval policy has matched waits only while its key has no outcome, and was executed only with enough approvals, none of them by who had asked for it.',
    closesMonth: false,
    of: 'approval_requests',
    sql: `
      SELECT r.company_id, r.write_id, w.outcome, r.closed_at, r.approved_by, d.approvers FROM approval_requests r
      LEFT JOIN idempotent_writes w ON w.company_id = r.company_id AND w.idempotency_key = r.idempotency_key
      CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(d.user_id), '{}') AS approvers FROM approval_decisions d
        WHERE d.company_id = r.company_id AND d.idempotency_key = r.idempotency_key AND d.decision = 'approved'
      ) AS d
      WHERE r.user_id = ANY (d.approvers)
        OR w.outcome IS NOT NULL AND r.closed_at IS NULL
        -- An operator may have reopened the key of one that was lost.
        OR w.outcome IS NULL AND r.closed_at IS NOT NULL AND NOT EXISTS (
          SELECT FROM reopened_runs o WHERE o.company_id = r.company_id AND o.idempotency_key = r.idempotency_key)
        OR w.outcome = 'succeeded' AND (w.write_id <> r.write_id OR w.user_id <> r.user_id OR r.approved_by IS NULL
          OR r.approved_by <> ALL (d.approvers)
          OR cardinality(d.approvers) < (SELECT max((n ->> 'count')::integer) FROM jsonb_array_elements(r.demands) AS n))`,
  },
];
