import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { checkInput, INPUT_REFUSED } from '../../activities/check-input.ts';
import { fingerprint, isTriggerKey, TRIGGER_KEY_REFUSED, writeId } from '../../activities/identity.ts';
import type { Input, Operation } from '../../activities/operation.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { attemptPolicyOf } from '../../activities/write/attempt-policy.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import type { ApiContext } from '../context.ts';
import { readPreferences } from '../http/preferences.ts';
import { ApiProblem } from '../http/problems.ts';
import { enforceRateLimit } from '../http/rate-limit.ts';
import { pathOf } from '../http/request-path.ts';
import type { Submission } from '../submit/submission.ts';
import { requireVerified } from '../submit/verified.ts';
import { formatKey, readIdempotencyKey } from './idempotency-key.ts';
import { runningWrite, type TemporalUi, type WriteResource } from './resource.ts';
import { accepted, answerEnd, answerFromRow, answerPending, refuse, type WriteRequest } from './responses.ts';

/** The label `end` of a metric. */
const ENDS = { end: 'ended', accepted: 'accepted', 'in progress': 'in_progress', problem: 'refused' } as const;

/** Every answer goes out within the client's wait plus this. */
const ANSWER_GRACE_MS = 2_000;

const RATE_LIMITED = 'Send the request again with the same key after the pause in Retry-After.';

/** One route per operation: the steps of the write path, in the published order of their errors. */
export function registerWriteRoutes(app: FastifyInstance, context: ApiContext): void {
  for (const operation of context.operations) {
    app.route({
      method: operation.method,
      url: operation.path,
      // Runs after the body has been read: 401, 415, 413 and 400 `malformed_json` take precedence over errors of the key.
      preHandler: async (request, reply) => {
        request.idempotencyKey = readIdempotencyKey(request.raw.rawHeaders);
        reply.header('idempotency-key', formatKey(request.idempotencyKey));
      },
      handler: (request, reply) => handleWrite(operation, request, reply, context),
    });
  }
}

async function handleWrite(
  operation: Operation,
  request: FastifyRequest,
  reply: FastifyReply,
  context: ApiContext,
): Promise<FastifyReply> {
  const arrivedAtMs = performance.now();
  const { caller, idempotencyKey } = request;
  const input = validate(operation, request.params, request.body);
  const preferences = readPreferences(request.headers['prefer']);
  if (preferences.applied !== undefined) reply.header('preference-applied', preferences.applied);

  const { strict } = preferences;
  const asksToWait = preferences.waitMs > 0 && preferences.applied?.includes('wait=') === true;
  const waitUntilMs = arrivedAtMs + preferences.waitMs;
  const deadline = { waitUntilMs, answerByMs: waitUntilMs + ANSWER_GRACE_MS, strict, asksToWait };

  const wire = input as WriteArguments['input'];
  const requestFingerprint = fingerprint(operation.name, wire);
  // Looked for before the lookup: one that ends during the lookup has the outcome that the lookup may just have missed.
  const found = context.submit.find(caller.companyId, idempotencyKey, requestFingerprint);
  const member = await context.lookups.find(caller, idempotencyKey, deadline.answerByMs - performance.now());
  if (!holdsOneOf(member.roles, operation.roles)) {
    throw new ApiProblem('forbidden', {
      detail: `${operation.name} needs one of the roles ${operation.roles.join(', ')}.`,
    });
  }
  request.writeId = writeId(caller.companyId, operation.name, idempotencyKey);
  const writeRequest: WriteRequest = {
    operation,
    companyId: caller.companyId,
    userId: member.userId,
    roles: member.roles,
    idempotencyKey,
    writeId: request.writeId,
    content: { operation: operation.name, ...input, fingerprint: requestFingerprint },
    request: { id: request.id, method: request.method, path: pathOf(request) },
    address: request.address,
    arrivedAtMs,
    deadline,
  };
  if (member.row !== undefined) {
    enforceRateLimit(context.replays, caller, RATE_LIMITED);
    return answerFromRow(reply, member.row, writeRequest, false, context);
  }
  await requireVerified(context, member);
  if (member.approval !== undefined) {
    enforceRateLimit(context.replays, caller, RATE_LIMITED);
    return answerPending(reply, member.approval, writeRequest, undefined, context);
  }

  if (isTriggerKey(idempotencyKey)) {
    throw new ApiProblem('idempotency_key_invalid', { detail: TRIGGER_KEY_REFUSED });
  }
  const known = found?.stage === 'forgotten' ? undefined : found;
  const joined = known ?? context.submit.find(caller.companyId, idempotencyKey, requestFingerprint);
  const submission = joined ?? openSubmission(writeRequest, wire, context);
  const opener = joined === undefined;
  if (!opener) context.metrics.submissionsJoined.inc({ operation: operation.name, type: operation.type });
  const waitsSinceMs = performance.now();
  const waited = await context.submit.wait(submission, deadline, opener);
  const by = !opener ? 'joined' : submission.openedBy === 'another' ? 'attached' : 'opened';
  context.metrics.requestWait.observe({ by, end: ENDS[waited.kind] }, performance.now() - waitsSinceMs);
  switch (waited.kind) {
    case 'end':
      return answerEnd(reply, waited.end, writeRequest, opener ? submission.args.submissionId : undefined, context);
    case 'accepted':
      return accepted(reply, runningWriteOf(submission, writeRequest, context.ui), idempotencyKey);
    case 'in progress':
      return refuse('idempotency_in_progress', writeRequest, context.metrics);
    case 'problem':
      return refuse(waited.code, writeRequest, context.metrics);
  }
}

/** Only a request that opens a submission uses the rate limit for new writes; a duplicate has joined one before this. */
function openSubmission(writeRequest: WriteRequest, input: WriteArguments['input'], context: ApiContext) {
  enforceRateLimit(context.newWrites, writeRequest, RATE_LIMITED);
  const submission = context.submit.open({
    operation: writeRequest.operation.name,
    companyId: writeRequest.companyId,
    key: writeRequest.idempotencyKey,
    input,
    fingerprint: writeRequest.content.fingerprint,
    schemaVersion: writeRequest.operation.schemaVersion,
    policy: attemptPolicyOf(writeRequest.operation),
    actor: { userId: writeRequest.userId },
    request: writeRequest.request,
    submissionId: randomUUID(),
  });
  return submission ?? refuse('overloaded', writeRequest, context.metrics);
}

function runningWriteOf({ run }: Submission, writeRequest: WriteRequest, ui: TemporalUi): WriteResource {
  if (run === undefined) throw new Error('Bug! A submission that is open without a run');
  const { companyId, idempotencyKey, writeId, operation } = writeRequest;
  return runningWrite({ companyId, idempotencyKey, writeId, operation: operation.name, type: operation.type }, run, ui);
}

function validate(operation: Operation, params: unknown, body: unknown): Input {
  const checked = checkInput(operation, { params, body: body === undefined ? {} : body });
  if ('input' in checked) return checked.input;
  throw new ApiProblem('validation_failed', { detail: INPUT_REFUSED, errors: checked.errors });
}
