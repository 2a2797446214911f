import type { FastifyInstance, FastifyRequest } from 'fastify';
import { problemPointers } from '../../activities/problem-pointers.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import type { ApiContext } from '../context.ts';
import { ApiProblem } from '../http/problems.ts';
import { enforceRateLimit } from '../http/rate-limit.ts';
import { sourceOf } from '../security/refusals.ts';
import { eventsOfRead } from './confidential.ts';
import type { Read, ReadInput } from './read.ts';
import { inReadTransaction } from './read-transaction.ts';
import { READERS } from './readers.ts';

/** A report reads all lines of its period, and a company may have millions. */
const REPORT_LIMIT_MS = 30_000;
const READ_LIMIT_MS = 5_000;

/** One route per read. */
export function registerReads(app: FastifyInstance, reads: readonly Read[], context: ApiContext): void {
  for (const read of reads) {
    app.get(read.path, async (request, reply) => {
      const answered = await answer(read, request, context);
      recordReader(read, request, answered, context);
      return reply.send(answered);
    });
  }
}

async function answer(read: Read, request: FastifyRequest, context: ApiContext): Promise<object> {
  const { cursors, database, replays } = context;
  const { caller } = request;
  enforceRateLimit(replays, caller);
  const input = validInput(read, request);
  const limitMs = read.answers.kind === 'report' ? REPORT_LIMIT_MS : READ_LIMIT_MS;
  return inReadTransaction({ database, caller, limitMs }, async (tx, reader) => {
    const allowed = READERS[read.group];
    if (!holdsOneOf(reader.roles, allowed)) {
      throw new ApiProblem('forbidden', { detail: `Reading this needs one of the roles ${allowed.join(', ')}.` });
    }
    return read.read(tx, input, { ...reader, cursors });
  });
}

/** Tells the security log who has read what is confidential, and of whom. */
function recordReader(read: Read, request: FastifyRequest, answered: object, { security }: ApiContext): void {
  const details = request.params as Record<string, string>;
  for (const event of eventsOfRead(read, answered)) {
    security.record({ event, reason: read.answers.resource, ...request.caller, ...sourceOf(request), details });
  }
}

/** Parses path and query with the read's schemas. Reports every problem, each with its JSON pointer. */
export function validInput(
  read: Pick<Read, 'params' | 'query'>,
  { params, query }: Pick<FastifyRequest, 'params' | 'query'>,
): ReadInput {
  const path = read.params.safeParse(params);
  const search = read.query.safeParse(query);
  if (path.success && search.success) return { params: path.data, query: search.data };
  throw new ApiProblem('validation_failed', {
    detail: 'The path or the query does not match the schema; errors[] names each parameter.',
    errors: [...problemPointers('path', path.error), ...problemPointers('query', search.error)],
  });
}
