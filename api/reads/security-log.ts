import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import { SECURITY_EVENTS } from '../../activities/security/security-row.ts';
import { type List, readPage } from './page.ts';
import { firstInstant, instantAfter, instantOrDay, pageQuery } from './query.ts';
import { defineRead } from './read.ts';

/** Who of those that run the service ran a command, and where, is for them alone. */
const SECURITY_LOG: List = {
  columns: `l.id, l.timestamp, l.event, l.reason, l.user_id, l.subject, l.action, l.request_id, l.count, l.counted_since,
     CASE WHEN l.event <> 'operator_command' THEN host(l.ip) END AS ip,
     l.details - '{osUser,host,sudoUser}'::text[] AS details`,
  from: 'FROM security_log l',
  where: 'company_id = current_company()',
  order: [
    { sql: 'l.timestamp', type: 'timestamptz' },
    { sql: 'l.id', type: 'bigint' },
  ],
};

export const listSecurityLog = defineRead({
  path: '/api/security-log',
  summary: 'List refusals, confidential reads, grants of power and lowered controls',
  group: 'security',
  answers: { kind: 'list', resource: 'security_event' },
  params: z.strictObject({}),
  query: z.strictObject({
    ...pageQuery,
    event: z.enum(SECURITY_EVENTS).optional(),
    userId: id().optional().describe('Of the user who did it, or tried to.'),
    from: instantOrDay().optional().describe('The first day (UTC) or instant.'),
    to: instantOrDay().optional().describe('The last day (UTC) or instant.'),
  }),
  async read(tx, { query: { limit, cursor, ...filters } }, { companyId, cursors }) {
    const { rows, nextCursor } = await readPage<SecurityLogRow>(
      tx,
      SECURITY_LOG,
      [
        ['l.event = ?', filters.event],
        ['l.user_id = ?', filters.userId],
        ['l.timestamp >= ?::timestamptz', filters.from === undefined ? undefined : firstInstant(filters.from)],
        ['l.timestamp < ?::timestamptz', filters.to === undefined ? undefined : instantAfter(filters.to)],
      ],
      { path: this.path, companyId, cursors, filters, limit, cursor },
    );
    return { items: rows.map(toSecurityEvent), nextCursor };
  },
});

type SecurityLogRow = {
  id: bigint;
  timestamp: string;
  event: string;
  reason: string;
  user_id: string | null;
  subject: string | null;
  ip: string | null;
  action: string | null;
  request_id: string | null;
  count: number;
  counted_since: string | null;
  details: Record<string, unknown>;
};

function toSecurityEvent(row: SecurityLogRow) {
  return {
    id: String(row.id),
    at: row.timestamp,
    event: row.event,
    reason: row.reason,
    userId: row.user_id,
    subject: row.subject,
    ip: row.ip,
    action: row.action,
    requestId: row.request_id,
    count: row.count,
    countedSince: row.counted_since,
    details: row.details,
  };
}
