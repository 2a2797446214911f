import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import { date, id } from '../../activities/fields.ts';
import { isUuid } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { ApiProblem } from '../http/problems.ts';
import { type Filter, type List, readPage } from '../reads/page.ts';
import { withoutPayroll } from '../reads/payroll-entries.ts';
import { firstInstant, instantAfter, instantOrDay, operationName, pageQuery } from '../reads/query.ts';
import { defineRead, type Read, type Reader } from '../reads/read.ts';
import { READERS } from '../reads/readers.ts';
import { readableOperations } from './access.ts';
import { readDocuments } from './document.ts';
import { type Asked, askedWrite } from './pending.ts';
import { FINISHED_COLUMNS, type FinishedRow, finishedWrite, type TemporalUi } from './resource.ts';

/** Of a cancelled write that had waited for its approval: what was asked for, in the form of an `Approval`. */
const ASKED = `CASE WHEN outcome = 'cancelled' THEN (
  SELECT jsonb_build_object('key', r.idempotency_key, 'writeId', r.write_id, 'userId', r.user_id, 'requestedAt', r.requested_at,
    'arguments', jsonb_build_object('companyId', r.company_id, 'operation', r.arguments -> 'operation',
      'request', jsonb_build_object('id', r.arguments #> '{request,id}')))
  FROM approval_requests r
  WHERE r.company_id = w.company_id AND r.idempotency_key = w.idempotency_key) END AS asked`;

const WRITES: List = {
  columns: [...FINISHED_COLUMNS, ASKED].join(', '),
  from: 'FROM idempotent_writes AS w',
  where: 'company_id = current_company()',
  order: [
    { sql: 'claimed_at', type: 'timestamptz' },
    { sql: 'idempotency_key', type: 'text' },
  ],
};

/**
 * The writes that posted on a day, in the order of its entries: a page is read from where the one before it ended, however many there
 * are. It always begins with the entries (OFFSET 0): for who may read few writes, the planner would begin with the writes of all days.
 */
const POSTED: List = {
  // Whatever has an entry was not cancelled.
  columns: `${FINISHED_COLUMNS.join(', ')}, NULL::jsonb AS asked`,
  from: `FROM (SELECT company_id AS entry_company, write_id AS posted_by, id AS entry_id, entry_date, created_at FROM journal_entries) AS e
     CROSS JOIN LATERAL (
       SELECT * FROM idempotent_writes WHERE company_id = e.entry_company AND write_id = e.posted_by OFFSET 0) AS w`,
  where: 'entry_company = current_company()',
  order: [
    { sql: 'entry_date', type: 'date' },
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'entry_id', type: 'uuid' },
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
          .describe(`The ID of a resource: the writes that made it or changed it, if that are ${SHOWN_MOST} at most.`),
        requestId: z
          .string()
          .regex(/^[\x21-\x7e]{1,128}$/, 'must be 1–128 printable ASCII characters')
          .optional()
          .describe(
            `The ID of a request: the writes that it asked for, made or not, if requests with it are ${SHOWN_MOST} at most.`,
          ),
        postedOn: date()
          .optional()
          .describe('The date of an entry: the writes that posted on it, the one whose entry is the newest first.'),
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
      await refuseTooMany(tx, filters);
      const { rows, nextCursor } = await readPage<FinishedRow & { readonly asked: Asked | null }>(
        tx,
        filters.postedOn === undefined ? WRITES : POSTED,
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
      const documents = await readDocuments(tx, rows, reader, operations);
      const items = rows.map(({ asked, ...row }) => ({
        ...finishedWrite(row, ui),
        ...(asked === null ? {} : askedWrite(asked, operations, ui)),
        document: documents.get(row.idempotency_key) ?? null,
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

/** What somebody looks for by an index of its own, and sorts: all of it, so that each page is one of the same list. */
const LOOK_UPS = {
  resource: `SELECT w.write_id FROM idempotent_writes w
     WHERE w.company_id = current_company() AND w.resource_id = ? AND w.resource_id <> w.write_id::text`,
  requestId: `SELECT a.idempotency_key FROM idempotent_write_audit_log a
     WHERE a.company_id = current_company() AND a.request_id = ?`,
};

function foundBy({ resource, requestId, postedOn, amount }: Sought): Filter[] {
  return [
    [
      `write_id = ANY (ARRAY(${LOOK_UPS.resource} UNION ALL SELECT ?::uuid))`,
      resource,
      resource === undefined ? undefined : isUuid(resource) ? resource : null,
    ],
    [`idempotency_key = ANY (ARRAY(${LOOK_UPS.requestId}))`, requestId],
    ['entry_date = ?::date', postedOn],
    // Not a join, which may begin with the lines of all days.
    [
      `?::bigint = ANY (ARRAY(
         SELECT abs(l.amount_minor) FROM journal_lines l WHERE l.company_id = entry_company AND l.entry_id = e.entry_id))`,
      amount,
    ],
  ];
}

/** A client may give all its requests one ID: that finds none of them, and would be looked up anew for each page. */
const MOST_FOUND = 10_000;
const SHOWN_MOST = MOST_FOUND.toLocaleString('en-US');

/** Throws `validation_failed` rather than to answer with some of what is found. */
async function refuseTooMany(tx: Tx, sought: Sought): Promise<void> {
  for (const name of ['resource', 'requestId'] as const) {
    if (sought[name] === undefined) continue;
    const [counted] = await tx.query<{ found: number }>(
      `SELECT count(*)::int AS found FROM (${LOOK_UPS[name].replace('?', '$1')} LIMIT $2) AS looked_up`,
      [sought[name], MOST_FOUND + 1],
    );
    if ((counted?.found ?? 0) > MOST_FOUND) throw tooMany(name);
  }
}

function tooMany(name: 'resource' | 'requestId'): ApiProblem {
  const message = {
    resource: `names a resource of more than ${SHOWN_MOST} writes: list writes by operation, from and to instead`,
    requestId: `is the ID of more than ${SHOWN_MOST} requests: look for the write by its key instead`,
  }[name];
  return new ApiProblem('validation_failed', {
    detail: `The parameter ${name} ${message}.`,
    errors: [{ in: 'query', pointer: `/${name}`, message }],
  });
}

/** Limits the list to the reader's own writes and those whose resource they may read. */
function readableBy({ roles, userId }: Reader, operations: readonly Operation[]): Filter[] {
  if (holdsOneOf(roles, READERS.everything)) return [];
  const readable = readableOperations(roles, operations);
  return [
    [
      `(user_id = ? OR operation = ANY (?::text[]) OR outcome = 'cancelled' AND EXISTS (
         SELECT FROM approval_requests r
         WHERE r.company_id = w.company_id AND r.idempotency_key = w.idempotency_key
           AND (r.user_id = ? OR r.arguments ->> 'operation' = ANY (?::text[]))))`,
      ...[userId, readable, userId, readable],
    ],
  ];
}
