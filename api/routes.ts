import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { ATTEMPT_POLICY } from '../activities/attempt-policy.ts';
import type { Database } from '../activities/database.ts';
import { isStorageUnavailable } from '../activities/failures.ts';
import { fingerprint, writeId } from '../activities/identity.ts';
import type { Input, Operation } from '../activities/operation.ts';
import type { ProblemPointer } from '../activities/problem.ts';
import { holdsOneOf } from '../activities/roles.ts';
import type { WriteArguments } from '../workflows/messages.ts';
import { type AnswerDependencies, accepted, answerEnd, answerFromRow, refuse, type WriteRequest } from './answers.ts';
import { within } from './deferred.ts';
import type { Flight } from './flights.ts';
import { formatKey, readIdempotencyKey } from './idempotency-key.ts';
import { type Lookup, lookUp } from './lookup.ts';
import { readPreferences } from './preferences.ts';
import { ApiProblem } from './problems.ts';
import type { RateLimit } from './rate-limit.ts';
import type { Submit } from './submit.ts';
import { runningWrite, type TemporalUi, type WriteResource } from './write-resource.ts';

export type WriteRouteDependencies = AnswerDependencies & {
  readonly database: Database;
  readonly submit: Submit;
  readonly newWrites: RateLimit;
  readonly replays: RateLimit;
  readonly ui: TemporalUi;
};

/** As a metric's label. */
const ENDS = { end: 'ended', accepted: 'accepted', 'in progress': 'in_progress', problem: 'refused' } as const;

/** Every answer goes out within the client's wait and this. */
const ANSWER_GRACE_MS = 2_000;

/** One route an operation: the steps of the write path, in the published order of their errors. */
export function registerWriteRoutes(app: FastifyInstance, dependencies: WriteRouteDependencies): void {
  for (const operation of dependencies.operations) {
    app.route({
      method: operation.method,
      url: operation.path,
      // The body has been read by then: 401, 415, 413 and 400 for JSON come before what is said of the key.
      preHandler: async (request, reply) => {
        request.idempotencyKey = readIdempotencyKey(request.raw.rawHeaders);
        reply.header('idempotency-key', formatKey(request.idempotencyKey));
      },
      handler: (request, reply) => write(operation, request, reply, dependencies),
    });
  }
}

async function write(
  operation: Operation,
  request: FastifyRequest,
  reply: FastifyReply,
  dependencies: WriteRouteDependencies,
): Promise<FastifyReply> {
  const arrivedAtMs = performance.now();
  const { caller, idempotencyKey: key } = request;
  const input = validate(operation, request.params, request.body);
  const preferences = readPreferences(request.headers['prefer']);
  if (preferences.applied !== undefined) reply.header('preference-applied', preferences.applied);

  const waitUntilMs = arrivedAtMs + preferences.waitMs;
  const deadline = { waitUntilMs, answerByMs: waitUntilMs + ANSWER_GRACE_MS, strict: preferences.strict };

  const wire = input as WriteArguments['input'];
  const asks = fingerprint(operation.name, wire);
  // Met before the lookup: a flight that ends meanwhile has the outcome that the lookup may have come too early for.
  const met = dependencies.submit.find(caller.companyId, key, asks);
  const who = await lookUpInTime(dependencies.database, request, deadline.answerByMs - performance.now());
  if (!holdsOneOf(who.roles, operation.roles)) {
    throw new ApiProblem('forbidden', {
      detail: `${operation.name} needs one of the roles ${operation.roles.join(', ')}.`,
    });
  }
  request.writeId = writeId(caller.companyId, operation.name, key);
  const asked: WriteRequest = {
    operation,
    companyId: caller.companyId,
    userId: who.userId,
    key,
    writeId: request.writeId,
    content: { operation: operation.name, ...input, fingerprint: asks },
    request: { id: request.id, method: request.method, path: pathOf(request.url) },
    arrivedAtMs,
    deadline,
  };
  if (who.row !== undefined) {
    limit(dependencies.replays, caller.companyId);
    return answerFromRow(reply, who.row, asked, false, dependencies);
  }

  const joined = met ?? dependencies.submit.find(caller.companyId, key, asks);
  const flight = joined ?? openFlight(asked, wire, dependencies);
  const opener = joined === undefined;
  if (!opener) dependencies.metrics.flightsJoined.inc({ operation: operation.name, type: operation.type });
  const waitsSinceMs = performance.now();
  const waited = await dependencies.submit.wait(flight, deadline, opener);
  const by = !opener ? 'joined' : flight.openedBy === 'another' ? 'attached' : 'opened';
  dependencies.metrics.requestWait.observe({ by, end: ENDS[waited.kind] }, performance.now() - waitsSinceMs);
  switch (waited.kind) {
    case 'end':
      return answerEnd(reply, waited.end, asked, opener ? flight.args.submissionId : undefined, dependencies);
    case 'accepted':
      return accepted(reply, runningWriteOf(flight, operation, dependencies.ui), key);
    case 'in progress':
      return refuse('idempotency_in_progress', asked, dependencies.metrics);
    case 'problem':
      return refuse(waited.code, asked, dependencies.metrics);
  }
}

/** Only what opens a flight counts as a new write; a duplicate has joined one before. */
function openFlight(asked: WriteRequest, input: WriteArguments['input'], dependencies: WriteRouteDependencies) {
  limit(dependencies.newWrites, asked.companyId);
  const flight = dependencies.submit.open({
    operation: asked.operation.name,
    companyId: asked.companyId,
    key: asked.key,
    input,
    fingerprint: asked.content.fingerprint,
    schemaVersion: asked.operation.schemaVersion,
    policy: ATTEMPT_POLICY,
    actor: { userId: asked.userId },
    request: asked.request,
    submissionId: randomUUID(),
  });
  return flight ?? refuse('overloaded', asked, dependencies.metrics);
}

function runningWriteOf({ args, run }: Flight, { type }: Operation, ui: TemporalUi): WriteResource {
  if (run === undefined) throw new Error('Bug! A flight that is open without a run');
  const { companyId, key, operation } = args;
  return runningWrite({ companyId, key, operation, type }, run, ui);
}

/** Parses path and body by the operation's schemas; every problem is told, each by its JSON pointer. */
function validate(operation: Operation, params: unknown, body: unknown): Input {
  const path = operation.params.safeParse(params);
  const content = operation.body.safeParse(body === undefined ? {} : body);
  if (path.success && content.success) return { params: path.data, body: content.data };
  throw new ApiProblem('validation_failed', {
    detail: 'The request does not fit the schema; errors[] names each member.',
    errors: [...problems('path', path.error), ...problems('body', content.error)],
  });
}

function problems(location: 'path' | 'body', error: z.ZodError | undefined): ProblemPointer[] {
  return (error?.issues ?? []).slice(0, 100).flatMap((issue) => {
    const base = issue.path.map((name) => `/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
    if (issue.code !== 'unrecognized_keys') return [{ in: location, pointer: base, message: issue.message }];
    return issue.keys.slice(0, 100).map((name) => ({
      in: location,
      pointer: `${base}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      message: 'is not a member of this request',
    }));
  });
}

/** A database that is frozen rather than refusing must not keep the client beyond its wait. */
async function lookUpInTime(database: Database, request: FastifyRequest, milliseconds: number): Promise<Lookup> {
  const found = await within(lookUp(database, request.caller, request.idempotencyKey), milliseconds).catch((error) => {
    if (isStorageUnavailable(error)) return undefined;
    throw error;
  });
  if (found === undefined) {
    throw new ApiProblem('storage_unavailable', {
      detail: 'The database did not answer. Send it again with the same key.',
    });
  }
  return found;
}

function limit(rateLimit: RateLimit, companyId: string): void {
  if (!rateLimit.take(companyId)) {
    throw new ApiProblem('rate_limited', { detail: 'Send it again with the same key after Retry-After.' });
  }
}

function pathOf(url: string): string {
  return (url.split('?')[0] ?? url).slice(0, 2_000);
}
