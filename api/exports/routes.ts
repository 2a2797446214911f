import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import { problemPointers } from '../../activities/problem-pointers.ts';
import { holdsOneOf, type Role } from '../../activities/roles.ts';
import type { ApiContext } from '../context.ts';
import { preferredType } from '../http/accept.ts';
import { ApiProblem } from '../http/problems.ts';
import { enforceRateLimit } from '../http/rate-limit.ts';
import { PAYROLL_OPERATIONS } from '../reads/payroll-entries.ts';
import { type Period, periodOfReport, reportPeriod } from '../reads/period-of-report.ts';
import type { Read, Reader } from '../reads/read.ts';
import { inReadTransaction } from '../reads/read-transaction.ts';
import { READERS } from '../reads/readers.ts';
import { sourceOf } from '../security/refusals.ts';
import { createExportLimit } from './export-limit.ts';
import { type ExportRequest, type LedgerPage, readLedgerPage, readSnapshot } from './ledger-lines.ts';
import { LEDGER_CSV, LEDGER_XML, type LedgerFormat } from './ledger-text.ts';

export const GENERAL_LEDGER_PATH = '/api/reports/general-ledger';
/** It is a file, and no read of the list of reads; who may read it is told like theirs. */
export const GENERAL_LEDGER = { path: GENERAL_LEDGER_PATH, group: 'ledger' } as const satisfies Pick<
  Read,
  'path' | 'group'
>;

/** Of each page. */
const READ_LIMIT_MS = 5_000;
/** A client that takes nothing for so long is given up. */
const SILENT_MS = 5 * 60_000;

export const exportQuery = z.strictObject(reportPeriod);

const FORMATS = { 'text/csv': LEDGER_CSV, 'application/xml': LEDGER_XML } as const;

/** The general ledger as one file, of any length. */
export function registerExports(app: FastifyInstance, context: ApiContext): void {
  const limit = createExportLimit();
  const open = new Set<ServerResponse>();
  // An export may take as long as its client likes: a process that is to end does not wait for it.
  app.addHook('preClose', async () => {
    for (const response of open) response.destroy();
  });
  app.get(GENERAL_LEDGER_PATH, async (request, reply) => {
    enforceRateLimit(context.replays, request.caller);
    const query = parseQuery(request.query);
    // Also if the client goes away before there is an answer.
    const over = new Promise<void>((resolve) => reply.raw.once('close', resolve));
    return limit.within(request.caller.companyId, async () => {
      const begun = await readFirst(context, request, query);
      open.add(reply.raw);
      send(reply, request, begun, textOf(begun, pagesAfter(context, request, begun)));
      await over;
      open.delete(reply.raw);
    });
  });
}

/** An export that has begun, with its first page. */
type Begun = {
  readonly of: ExportRequest;
  readonly period: Period;
  readonly page: LedgerPage;
  readonly format: LedgerFormat;
  /** Called before lines of payroll are sent. */
  readonly onPayroll: () => void;
};

/** What can be refused is refused here, before anything is answered. */
function readFirst(context: ApiContext, request: FastifyRequest, query: z.output<typeof exportQuery>): Promise<Begun> {
  return inOnePage(context, request, async (tx, { roles }) => {
    const snapshot = await readSnapshot(tx);
    const period = await periodOfReport(tx, query);
    const of = { from: period.from ?? undefined, to: period.to, roles, snapshot };
    return {
      ...{ of, period, page: await readLedgerPage(tx, of, undefined) },
      format: FORMATS[preferredType(request.headers.accept, ['text/csv', 'application/xml'])],
      onPayroll: () =>
        context.security.record({
          ...{ event: 'payroll_read', reason: 'general_ledger', ...request.caller, ...sourceOf(request) },
          details: period,
        }),
    };
  });
}

/**
 * Page after page, each in a transaction of its own, and only as fast as the client takes them. The member is looked up again
 * each time: whoever may no longer read what the export has loses the connection.
 */
async function* pagesAfter(context: ApiContext, request: FastifyRequest, { of, page: first }: Begun) {
  for (let place = first.next; place !== null; ) {
    const after = place;
    const page: LedgerPage = await inOnePage(context, request, (tx, { roles }) => {
      if (mayReadPayroll(of.roles) && !mayReadPayroll(roles)) throw forbidden(READERS.payroll);
      return readLedgerPage(tx, of, after);
    });
    yield page;
    place = page.next;
  }
}

function inOnePage<T>(
  { database }: ApiContext,
  { caller }: FastifyRequest,
  work: (tx: Tx, reader: Reader) => Promise<T>,
): Promise<T> {
  return inReadTransaction({ database, caller, limitMs: READ_LIMIT_MS }, async (tx, reader) => {
    if (!holdsOneOf(reader.roles, READERS[GENERAL_LEDGER.group])) throw forbidden(READERS[GENERAL_LEDGER.group]);
    return work(tx, reader);
  });
}

async function* textOf(
  { format, period, page: first, onPayroll }: Begun,
  rest: AsyncIterable<LedgerPage>,
): AsyncGenerator<string> {
  let isPayrollTold = false;
  const text = ({ lines }: LedgerPage) => {
    if (!isPayrollTold && lines.some(({ operation }) => PAYROLL_OPERATIONS.includes(operation))) {
      isPayrollTold = true;
      onPayroll();
    }
    return lines.map(format.line).join('');
  };
  yield format.begin(period) + text(first);
  for await (const page of rest) yield text(page);
  if (format.end !== '') yield format.end;
}

/**
 * An error while the text is made ends the connection before the end of the answer, which every client of HTTP/1.1 takes for
 * what it is. To those of HTTP/1.0, whose answers end with their connection, the reset tells.
 */
function send(
  reply: FastifyReply,
  { method, raw: { socket } }: FastifyRequest,
  { format, period }: Pick<Begun, 'format' | 'period'>,
  text: AsyncGenerator<string>,
): void {
  reply.header('vary', 'Accept').header('cache-control', 'no-store').type(format.contentType);
  reply.header('content-disposition', `attachment; filename="${fileName(period, format)}"`);
  reply.raw.setTimeout(SILENT_MS, () => socket.resetAndDestroy());
  // Of a stream, Fastify sends nothing in answer to HEAD, but reads it to its end.
  void reply.send(method === 'HEAD' ? Readable.from([]) : Readable.from(resetting(text, socket)));
}

/** Without a first day, it goes back to the first entry. */
function fileName({ from, to }: Period, { extension }: LedgerFormat): string {
  return `general-ledger-${from === null ? 'until' : from}-${to}.${extension}`;
}

async function* resetting(text: AsyncGenerator<string>, socket: Socket): AsyncGenerator<string> {
  try {
    yield* text;
  } catch (error) {
    socket.resetAndDestroy();
    throw error;
  }
}

const mayReadPayroll = (roles: readonly string[]) => holdsOneOf(roles, READERS.payroll);

function forbidden(allowed: readonly Role[]): ApiProblem {
  return new ApiProblem('forbidden', { detail: `Reading this needs one of the roles ${allowed.join(', ')}.` });
}

function parseQuery(query: unknown): z.output<typeof exportQuery> {
  const parsed = exportQuery.safeParse(query);
  if (parsed.success) return parsed.data;
  throw new ApiProblem('validation_failed', {
    detail: 'The query does not match the schema; errors[] names each parameter.',
    errors: problemPointers('query', parsed.error),
  });
}
