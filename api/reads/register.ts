import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { ProblemPointer } from '../../activities/problem.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import type { ApiContext } from '../app.ts';
import { ApiProblem } from '../problems.ts';
import type { RateLimit } from '../rate-limit.ts';
import { registerCancel } from './cancel.ts';
import type { Read, ReadInput } from './read.ts';
import { READS } from './read-list.ts';
import { inReadTransaction } from './read-transaction.ts';
import { READERS } from './readers.ts';
import { takeRead } from './take-read.ts';
import { registerWebhooks } from './webhooks.ts';
import { createWriteList } from './write-list.ts';
import { registerWriteStatus } from './write-status.ts';

export type ReadContext = ApiContext & {
  /** Cancelling counts against the limit of new writes. */
  readonly newWrites: RateLimit;
  readonly reads: RateLimit;
};

const READ_LIMIT_MS = 5_000;

/** Every route that reads, and the cancel of a write. */
export function registerReads(app: FastifyInstance, context: ReadContext): void {
  for (const read of [...READS, createWriteList(context.operations, context.ui)]) {
    app.get(read.path, async (request, reply) => reply.send(await answer(read, request, context)));
  }
  registerWriteStatus(app, context);
  registerCancel(app, context);
  registerWebhooks(app, context);
}

async function answer(read: Read, request: FastifyRequest, { database, reads }: ReadContext): Promise<object> {
  const { caller } = request;
  takeRead(reads, caller);
  const input = validate(read, request);
  return inReadTransaction({ database, caller, limitMs: READ_LIMIT_MS }, async (tx, reader) => {
    const allowed = READERS[read.group];
    if (!holdsOneOf(reader.roles, allowed)) {
      throw new ApiProblem('forbidden', { detail: `Reading this needs one of the roles ${allowed.join(', ')}.` });
    }
    return read.read(tx, input, reader);
  });
}

/** Parses path and query by the read's schemas; every problem is told, each by its JSON pointer. */
function validate(read: Read, { params, query }: FastifyRequest): ReadInput {
  const path = read.params.safeParse(params);
  const search = read.query.safeParse(query);
  if (path.success && search.success) return { params: path.data, query: search.data };
  throw new ApiProblem('validation_failed', {
    detail: 'The path or the query does not fit; errors[] names each parameter.',
    errors: [...problems('path', path.error), ...problems('query', search.error)],
  });
}

const MAX_PROBLEMS = 100;

function problems(location: 'path' | 'query', error: z.ZodError | undefined): ProblemPointer[] {
  return (error?.issues ?? [])
    .flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((name) => ({ name, message: 'is not a parameter of this route' }))
        : [{ name: String(issue.path[0] ?? ''), message: issue.message }],
    )
    .slice(0, MAX_PROBLEMS)
    .map(({ name, message }) => ({
      in: location,
      pointer: `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      message,
    }));
}
