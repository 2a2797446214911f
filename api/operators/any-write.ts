import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type Tx, transaction } from '../../activities/database.ts';
import { id, name } from '../../activities/fields.ts';
import type { ApiContext } from '../context.ts';
import { notFound } from '../http/problems.ts';
import { withStorageTimeout } from '../http/storage-timeout.ts';
import type { Read, Reader } from '../reads/read.ts';
import { validInput } from '../reads/register.ts';
import { lookUpKeyIn } from '../submit/lookup.ts';
import { requireVerified } from '../submit/verified.ts';
import { createWriteList } from '../writes/list.ts';
import type { WriteSummary } from '../writes/resource.ts';
import { describeWrite, keyOf, STATUS_LIMIT_MS, writeNotFound } from '../writes/status.ts';
import { describeFromRecord } from '../writes/story.ts';
import { listedToOperators, shownToOperators } from './bodies.ts';
import { type OperatorRead, recordOperatorRead } from './trace.ts';

/** What `GET /operator/companies` may be asked for. */
export const companiesQuery = z.strictObject({
  search: name().optional().describe('A part of the name, in any case.'),
  id: id().optional().describe('The ID of the company: at most one item has it.'),
});

/**
 * What operators may ask the list of a company's writes for: nothing that tells an amount. A search by amounts and days would find
 * out what somebody is paid, though no answer shows it.
 */
export function operatorWritesQuery(list: Pick<Read, 'query'>): z.ZodObject {
  const { amount: _amount, postedOn: _postedOn, ...rest } = list.query.shape;
  return z.strictObject(rest);
}

const companyPath = z.strictObject({ companyId: id() });

/** A company as operators find it. */
export const operatorCompanySchema = z.object({ id: z.uuid(), name: z.string(), timeZone: z.string() });

const LIST_LIMIT_MS = 5_000;

/**
 * What became of any write, for operators: `GET /operator/companies`, `GET /operator/companies/{id}/writes` and
 * `GET /operator/companies/{id}/writes/{key}`. They read as the application does in that company, so that row-level security holds,
 * and see of it what an owner sees, without what somebody is paid. `subjectOf` tells who has been let in.
 */
export function registerAnyWrite(
  app: FastifyInstance,
  context: ApiContext,
  subjectOf: (request: FastifyRequest) => string,
): void {
  const { database, operations, ui, cursors } = context;
  const list = createWriteList(operations, ui);
  const listQuery = operatorWritesQuery(list);
  const record = (
    request: FastifyRequest,
    reason: 'writes_listed' | 'write_read',
    companyId: string,
    details: OperatorRead['details'] = {},
  ) => recordOperatorRead(database.reads, request, { subject: subjectOf(request), reason, companyId, details });

  app.get('/operator/companies', async (request, reply) => {
    const { query } = validInput({ params: NO_PATH, query: companiesQuery }, request);
    const { search = null, id: companyId = null } = query as z.output<typeof companiesQuery>;
    // The function records its use itself.
    const values = [subjectOf(request), request.address || null, request.id, search, companyId];
    const reading = transaction(database.reads, async (tx) => {
      await tx.query('SELECT enter_company($1)', [NOBODYS]);
      return tx.query<{ id: string; name: string; time_zone: string }>(LIST_COMPANIES, values);
    });
    const found = await withStorageTimeout(reading, LIST_LIMIT_MS);
    return reply.send({ items: found.map(({ id: one, name, time_zone: timeZone }) => ({ id: one, name, timeZone })) });
  });

  app.get('/operator/companies/:companyId/writes', async (request, reply) => {
    const { params, query } = validInput({ params: companyPath, query: listQuery }, request);
    const companyId = String(params['companyId']);
    await record(request, 'writes_listed', companyId, askedBy(query));
    return reply.send(
      await readAs(context, companyId, LIST_LIMIT_MS, async (tx, reader) => {
        await requireCompany(tx, companyId);
        const page = (await list.read(tx, { params: {}, query }, { ...reader, cursors })) as { items: WriteSummary[] };
        return { ...page, items: listedToOperators(page.items, operations) };
      }),
    );
  });

  app.get<{ Params: { key: string } }>('/operator/companies/:companyId/writes/:key', async (request, reply) => {
    const key = keyOf(request.params.key);
    const { params } = validInput({ params: companyPath.extend({ key: z.string() }), query: NO_PATH }, request);
    const companyId = String(params['companyId']);
    await record(request, 'write_read', companyId, { key });
    const write = await describeWrite(context, { companyId }, key, () => readRecord(context, companyId, key));
    if (write === undefined) throw writeNotFound(key);
    return reply.send(shownToOperators(write, operations));
  });
}

const NO_PATH = z.strictObject({});
/** No company has this ID: nothing is seen as it. */
const NOBODYS = '00000000-0000-0000-0000-000000000000';
const LIST_COMPANIES = `
SELECT id, name, time_zone FROM companies_for_operators(p_subject => $1, p_ip => $2, p_request_id => $3, p_search => $4,
  p_company => $5)`;

/** By which parameters a list was asked: their names, and the IDs that are sought. */
function askedBy(query: Readonly<Record<string, unknown>>): NonNullable<OperatorRead['details']> {
  const asked = Object.entries(query).filter(([name, value]) => value !== undefined && name !== 'limit');
  if (asked.length === 0) return {};
  const ids = asked.filter(([name]) => SOUGHT_IDS.has(name)).map(([name, value]) => [name, String(value)]);
  return { ...Object.fromEntries(ids), askedBy: asked.map(([name]) => name).toSorted() };
}

const SOUGHT_IDS: ReadonlySet<string> = new Set(['writeId', 'resource', 'requestId']);

async function requireCompany(tx: Tx, companyId: string): Promise<void> {
  const found = await tx.query('SELECT FROM companies WHERE id = $1', [companyId]);
  if (found.length === 0) throw notFound('company', `There is no company ${companyId}.`);
}

async function readRecord(context: ApiContext, companyId: string, key: string) {
  const { lookedUp, ...found } = await readAs(context, companyId, STATUS_LIMIT_MS, async (tx, reader) => {
    const lookedUp = await lookUpKeyIn(tx, companyId, key);
    const describer = { ...context, reader };
    return { ...(await describeFromRecord(tx, key, lookedUp, describer)), describer, lookedUp };
  });
  await requireVerified(context, lookedUp);
  return found;
}

/** Reads in one snapshot as the application does in that company, with the eyes of an owner who is no member. */
function readAs<T>(
  { database }: ApiContext,
  companyId: string,
  limitMs: number,
  work: (tx: Tx, reader: Reader) => Promise<T>,
): Promise<T> {
  const reading = transaction(
    database.reads,
    async (tx) => {
      await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
      await tx.query(
        "SELECT enter_company($1), set_config('statement_timeout', $2, true), set_config('plan_cache_mode', 'force_custom_plan', true)",
        [companyId, String(limitMs)],
      );
      return work(tx, { companyId, userId: NOBODYS, roles: ['owner'] });
    },
    { companyId, patience: 'patient' },
  );
  return withStorageTimeout(reading, limitMs);
}
