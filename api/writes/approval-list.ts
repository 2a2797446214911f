import { z } from 'zod';
import type { Approval } from '../../activities/approvals/approval.ts';
import type { Operation } from '../../activities/operation.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { type Filter, type List, readPage } from '../reads/page.ts';
import { pageQuery } from '../reads/query.ts';
import { defineRead, type Read, type Reader } from '../reads/read.ts';
import { READERS } from '../reads/readers.ts';
import { readableOperations, shownIn } from './access.ts';
import { pendingWrite } from './pending.ts';
import type { TemporalUi, WriteResource } from './resource.ts';
import { withoutBodies } from './without-bodies.ts';

const REQUESTS: List = {
  columns: 'approval_of(company_id, idempotency_key) AS approval',
  from: 'FROM approval_requests',
  where: 'company_id = current_company() AND closed_at IS NULL',
  order: [
    { sql: 'pending_since', type: 'timestamptz' },
    { sql: 'idempotency_key', type: 'text' },
  ],
};

/** A request for approval that asks for somebody with one of these roles. */
const ASKS_FOR_ONE_OF = `EXISTS (
  SELECT FROM jsonb_array_elements(demands) AS demand
  CROSS JOIN LATERAL jsonb_array_elements_text(demand -> 'roles') AS role WHERE role = ANY (?::text[]))`;

/** A request for approval that is not met yet, by people who hold its roles now: who has approved may have lost the role. */
const IS_NOT_MET = `EXISTS (
  SELECT FROM jsonb_to_recordset(demands) AS demand (roles text[], count integer)
  WHERE demand.count > (
    SELECT count(*) FROM approval_decisions AS d
    JOIN memberships AS m ON m.company_id = d.company_id AND m.user_id = d.user_id
    WHERE d.company_id = approval_requests.company_id AND d.idempotency_key = approval_requests.idempotency_key
      AND d.decision = 'approved' AND m.roles && demand.roles))`;

/** The writes that wait for their approval: those that the reader may read, or decide about. */
export function createApprovalList(operations: readonly Operation[], ui: TemporalUi): Read {
  return defineRead({
    path: '/api/approvals',
    summary: 'List the writes that wait for an approval',
    group: 'writes',
    answers: { kind: 'list', resource: 'write' },
    params: z.strictObject({}),
    query: z.strictObject({
      ...pageQuery,
      waitingFor: z
        .literal('me', 'must be me')
        .optional()
        .describe('me: only those that the caller may decide about, and has not.'),
      summary: z
        .literal('true', 'must be true')
        .optional()
        .describe(
          'true: without what is asked for and without comments, for whoever counts them: such a look is no row of the security log.',
        ),
    }),
    showsIn: (answer) =>
      (answer as { readonly items: readonly WriteResource[] }).items.map((write) => shownIn(write, operations)),
    async read(tx, { query: { limit, cursor, ...filters } }, reader) {
      const { rows, nextCursor } = await readPage<{ approval: Approval }>(
        tx,
        REQUESTS,
        [...readableBy(reader, operations), ...(filters.waitingFor === undefined ? [] : waitingFor(reader))],
        { path: this.path, companyId: reader.companyId, cursors: reader.cursors, filters, limit, cursor },
      );
      const items = rows.map(({ approval }) => pendingWrite(approval, { reader, operations, ui }));
      return { items: filters.summary === undefined ? items : items.map(withoutBodies), nextCursor };
    },
  });
}

function readableBy({ roles, userId }: Reader, operations: readonly Operation[]): Filter[] {
  if (holdsOneOf(roles, READERS.everything)) return [];
  const readable = readableOperations(roles, operations);
  return [
    [`(user_id = ? OR arguments ->> 'operation' = ANY (?::text[]) OR ${ASKS_FOR_ONE_OF})`, userId, readable, roles],
  ];
}

function waitingFor({ roles, userId }: Reader): Filter[] {
  return [
    ['user_id <> ?', userId],
    [ASKS_FOR_ONE_OF, roles],
    [IS_NOT_MET],
    [
      `NOT EXISTS (
         SELECT FROM approval_decisions AS d
         WHERE d.company_id = approval_requests.company_id AND d.idempotency_key = approval_requests.idempotency_key
           AND d.user_id = ?)`,
      userId,
    ],
  ];
}
