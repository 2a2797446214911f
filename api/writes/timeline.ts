import type { Tx } from '../../activities/database.ts';
import type { TimelineItem } from './resource.ts';

/** The timeline of a write with very many replays is cut to its first and last items. */
const FIRST_ITEMS = 20;
const LAST_ITEMS = 100;

/** An entry of the audit log that is no write's. Its key was once the request's ID, which the client chooses. */
export const READ_WEBHOOK_SECRET = 'readWebhookSecret';

/** What is told of a write whose row is gone. */
export const LOST = { kind: 'lost', detail: 'A failover or a restore of the database has taken its record' } as const;

/**
 * The replays, conflicts, failed runs and losses of a key, from the audit log. (Its outcome comes from the row.) A reopening
 * has the code of a loss, but is none.
 */
export async function readAuditItems(tx: Tx, idempotencyKey: string): Promise<TimelineItem[]> {
  // Both ends are read by the index. The first is long enough to hold a whole timeline that need not be cut.
  const rows = await tx.query<AuditItemRow>(
    `WITH audited AS NOT MATERIALIZED (
       SELECT timestamp, id, status, error_code, user_id, request_id, metadata -> 'differences' AS differences
       FROM idempotent_write_audit_log
       WHERE company_id = current_company() AND idempotency_key = $1
         AND operation_name <> '${READ_WEBHOOK_SECRET}'
         AND (status = 'replayed' OR error_code IN ('idempotency_key_reused', 'write_failed')
           OR error_code = 'write_record_missing' AND NOT metadata @> '{"action": "reopen"}')
     )
     SELECT timestamp, status, error_code, user_id, request_id, differences FROM (
       (SELECT * FROM audited ORDER BY timestamp, id LIMIT $2)
       UNION
       (SELECT * FROM audited ORDER BY timestamp DESC, id DESC LIMIT $3)
     ) AS ends
     ORDER BY timestamp, id`,
    [idempotencyKey, FIRST_ITEMS + LAST_ITEMS + 1, LAST_ITEMS],
  );
  return rows.map((row) => ({
    at: row.timestamp,
    ...kindOf(row),
    requestId: row.request_id,
    userId: row.user_id,
  }));
}

/** The event that the transaction of a succeeded write recorded. */
export async function readEventItems(tx: Tx, writeId: string, committedAt: string): Promise<TimelineItem[]> {
  const [event] = await tx.query<EventItemRow>(
    `SELECT id, kind, delivery_state, delivered_at, attempts FROM outbox
     WHERE company_id = current_company() AND write_id = $1`,
    [writeId],
  );
  if (event === undefined) return [];
  const { id: eventId, kind, delivery_state: state, delivered_at: deliveredAt, attempts } = event;
  const givenUp = state === 'given_up' ? `, given up after ${attempts} calls of the webhook` : '';
  return [
    { at: committedAt, kind: 'event_recorded', detail: kind + givenUp, eventId },
    // An event without a consumer has a `delivered_at` too, but the state `none`.
    ...(state === 'delivered' && deliveredAt !== null
      ? [{ at: deliveredAt, kind: 'event_delivered', detail: kind, eventId } as const]
      : []),
  ];
}

/** Sorts by time; items of the same time keep their order. */
export function toTimeline(items: readonly TimelineItem[]): { timeline: TimelineItem[]; timelineTruncated?: true } {
  const sorted = items.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  if (sorted.length <= FIRST_ITEMS + LAST_ITEMS) return { timeline: sorted };
  return { timeline: [...sorted.slice(0, FIRST_ITEMS), ...sorted.slice(-LAST_ITEMS)], timelineTruncated: true };
}

type EventItemRow = { id: string; kind: string; delivery_state: string; delivered_at: string | null; attempts: number };

type AuditItemRow = {
  timestamp: string;
  status: 'replayed' | 'failed';
  error_code: string | null;
  user_id: string;
  request_id: string;
  /** Null in rows of before they were recorded. */
  differences: TimelineItem['differences'] | null;
};

function kindOf({
  status,
  error_code: code,
  differences,
}: AuditItemRow): Pick<TimelineItem, 'kind' | 'detail' | 'differences'> {
  if (status === 'replayed') return { kind: 'replayed' };
  if (code === 'write_failed') return { kind: 'run_failed', detail: 'The run failed; the same key may be sent again' };
  if (code === 'write_record_missing') return LOST;
  const conflicted = { kind: 'conflicted', detail: 'Another request with this key, answered 422' } as const;
  return differences == null ? conflicted : { ...conflicted, differences };
}
