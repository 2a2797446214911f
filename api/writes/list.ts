import { z } from 'zod';
import { date, id } from '../../activities/fields.ts';
import { isUuid } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { type Filter, type List, readPage } from '../reads/page.ts';
import { withoutPayroll } from '../reads/payroll-entries.ts';
import { firstInstant, instantAfter, instantOrDay, operationName, pageQuery } from '../reads/query.ts';
import { defineRead, type Read, type Reader } from '../reads/read.ts';
import { READERS } from '../reads/readers.ts';
import { readableOperations } from './access.ts';
import { type Asked, askedWrite } from './pending.ts';
import { FINISHED_COLUMNS, type FinishedRow, finishedWrite, type TemporalUi } from './resource.ts';

/** Of a cancelled write that had waited for its approval: what was asked for, in the form of an `Approval`. */
const ASKED = `CASE WHEN outcome = 'cancelled' THEN (
  SELECT jsonb_build_object('key', r.idempotency_key, 'writeId', r.write_id, 'userId', r.user_id, 'requestedAt', r.requested_at,
    'arguments', jsonb_build_object('companyId', r.company_id, 'operation', r.arguments -> 'operation',
      'request', jsonb_build_object('id', r.arguments #> '{request,id}')))
  FROM approval_requests r
  WHERE r.company_id = idempotent_writes.company_id AND r.idempotency_key = idempotent_writes.idempotency_key) END AS asked`;

const WRITES: List = {
  columns: [...FINISHED_COLUMNS, ASKED].join(', '),
  from: 'FROM idempotent_writes',
  where: 'company_id = current_company()',
  order: [
    { sql: 'claimed_at', type: 'timestamptz' },
    { sql: 'idempotency_key', type: 'text' },
  ],
};

/** The writes that have their outcome, and those that are lost. A running write can only be read by its key, since it has no row yet. */
export function createWriteList(operations: readonly Operation[], ui: TemporalUi): Read {
  return defineRead({
    path: '/api/writes',
    summary: 'List the writes that have their outcome; from and to are times of completion',
    group: 'writes',
    answers: { kind: 'list', resource: 'write' },
    params: z.strictObject({}),
    query: z
      .strictObject({
        ...pageQuery,
        writeId: id().optional().describe('The ID of the write: at most one item has it.'),
        operation: operationName().optional(),
        state: z
          .enum(
            ['succeeded', 'rejected', 'cancelled', 'lost'],
            'must be succeeded, rejected, cancelled or lost; read a write in another state by its key',
          )
          .optional(),
        from: instantOrDay().optional().describe('The first day (UTC) or instant.'),
        to: instantOrDay().optional().describe('The last day (UTC) or instant.'),
        resource: z
          .string()
          .regex(/^[\x20-\x7e]{1,200}$/, 'must be 1–200 printable ASCII characters')
          .transform((given) => (isUuid(given.toLowerCase()) ? given.toLowerCase() : given))
          .pipe(z.string())
          .optional()
          .describe('The ID of a resource: the writes that made it or changed it.'),
        requestId: z
          .string()
          .regex(/^[\x21-\x7e]{1,128}$/, 'must be 1–128 printable ASCII characters')
          .optional()
          .describe('The ID of a request: the writes that it asked for, made or not.'),
        postedOn: date().optional().describe('The date of an entry: the writes that posted on it.'),
        amount: z
          .string()
          .regex(/^\d{1,15}$/, 'must be an amount in minor units')
          .optional()
          .describe('Minor units: the writes of `postedOn` with a line of this amount on either side.'),
      })
      .refine(({ amount, postedOn }) => amount === undefined || postedOn !== undefined, {
        path: ['amount'],
        message: 'needs postedOn, the day to look at',
      }),
    async read(tx, { query: { limit, cursor, ...filters } }, reader) {
      const { rows, nextCursor } = await readPage<FinishedRow & { readonly asked: Asked | null }>(
        tx,
        WRITES,
        [
          ['write_id = ?', filters.writeId],
          ['operation = ?', filters.operation],
          ['outcome = ?', filters.state],
          ['completed_at >= ?::timestamptz', filters.from === undefined ? undefined : firstInstant(filters.from)],
          ['completed_at < ?::timestamptz', filters.to === undefined ? undefined : instantAfter(filters.to)],
          ...foundBy(filters),
          ...readableBy(reader, operations),
          ...(filters.amount === undefined ? [] : [withoutPayroll(reader.roles)]),
        ],
        { path: this.path, companyId: reader.companyId, cursors: reader.cursors, filters, limit, cursor },
      );
      const items = rows.map(({ asked, ...row }) => ({
        ...finishedWrite(row, ui),
        ...(asked === null ? {} : askedWrite(asked, operations, ui)),
      }));
      return { items, nextCursor };
    },
  });
}

type Sought = {
  readonly resource?: string | undefined;
  readonly requestId?: string | undefined;
  readonly postedOn?: string | undefined;
  readonly amount?: string | undefined;
};

/** Each looks its writes up by an index of its own, and finds no more of them than {@link MOST_FOUND}. */
function foundBy({ resource, requestId, postedOn, amount }: Sought): Filter[] {
  return [
    [
      `write_id = ANY (ARRAY(
         (SELECT w.write_id FROM idempotent_writes w
          WHERE w.company_id = current_company() AND w.resource_id = ? AND w.resource_id <> w.write_id::text LIMIT ${MOST_FOUND})
         UNION ALL SELECT ?::uuid))`,
      resource,
      resource === undefined ? undefined : isUuid(resource) ? resource : null,
    ],
    [
      `idempotency_key = ANY (ARRAY(
         SELECT a.idempotency_key FROM idempotent_write_audit_log a
         WHERE a.company_id = current_company() AND a.request_id = ? LIMIT ${MOST_FOUND}))`,
      requestId,
    ],
    [
      `write_id = ANY (ARRAY(
         SELECT e.write_id FROM journal_entries e WHERE e.company_id = current_company() AND e.entry_date = ?::date
           AND (?::bigint IS NULL OR EXISTS (
             SELECT FROM journal_lines l
             WHERE l.company_id = e.company_id AND l.entry_id = e.id AND abs(l.amount_minor) = ?::bigint))
         LIMIT ${MOST_FOUND}))`,
      postedOn,
      amount ?? null,
      amount ?? null,
    ],
  ];
}

/** A client may give all its requests one ID. */
const MOST_FOUND = 1_000;

/** Limits the list to the reader's own writes and those whose resource they may read. */
function readableBy({ roles, userId }: Reader, operations: readonly Operation[]): Filter[] {
  if (holdsOneOf(roles, READERS.everything)) return [];
  const readable = readableOperations(roles, operations);
  return [
    [
      `(user_id = ? OR operation = ANY (?::text[]) OR outcome = 'cancelled' AND EXISTS (
         SELECT FROM approval_requests r
         WHERE r.company_id = idempotent_writes.company_id AND r.idempotency_key = idempotent_writes.idempotency_key
           AND (r.user_id = ? OR r.arguments ->> 'operation' = ANY (?::text[]))))`,
      ...[userId, readable, userId, readable],
    ],
  ];
}
