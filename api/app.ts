import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { workflowIdOf } from '../activities/identity.ts';
import { type Operation, summaryOf } from '../activities/operation.ts';
import { OPERATIONS } from '../activities/operation-list.ts';
import { signalRun, wakeRun } from '../worker/approvals/wake-run.ts';
import { createBatchStarts } from '../worker/batches/batch-starts.ts';
import { loadWorkflowBundle } from '../worker/bundle.ts';
import { createClient } from '../worker/client.ts';
import { createFence } from '../worker/fence.ts';
import { createGroupRuns } from '../worker/lanes/group-runs.ts';
import { createLane } from '../worker/lanes/lane.ts';
import { createMetrics } from '../worker/metrics.ts';
import { openProcessDatabase } from '../worker/process-database.ts';
import { checkNamespace, connectTemporal } from '../worker/temporal.ts';
import { createNamedRuns } from '../worker/verification/named-runs.ts';
import { startVerifier } from '../worker/verification/verifier.ts';
import { notPinned, pinnedToOwnRelease, untilReleaseIsKnown } from '../worker/versioning.ts';
import { writeDependencies } from '../worker/write-reports.ts';
import { createWriteWorker } from '../worker/write-worker.ts';
import { UPLOAD_LIMITS, type UploadLimits } from './batches/limits.ts';
import { createBatchList } from './batches/list.ts';
import { registerBatches } from './batches/routes.ts';
import { createUploadLimit } from './batches/upload-limit.ts';
import type { ApiConfig } from './config.ts';
import { registerConsole } from './console/routes.ts';
import type { ApiContext } from './context.ts';
import { registerExports } from './exports/routes.ts';
import { type Authenticate, createAuthenticate, createOperatorAuthenticate, limitingFailures } from './http/auth.ts';
import { registerHealth } from './http/health.ts';
import { openKeySet } from './http/key-set.ts';
import { createRateLimit } from './http/rate-limit.ts';
import { watchRevokedTokens } from './http/revoked-tokens.ts';
import { createServer, requireJson } from './http/server.ts';
import { createSignInLimit } from './http/sign-in-limit.ts';
import { createWaitLimit } from './http/wait-limit.ts';
import { registerDocs } from './openapi/docs.ts';
import { registerCodec } from './operators/codec.ts';
import { registerOperators } from './operators/routes.ts';
import { createCursors } from './reads/cursor.ts';
import { readCursorKey } from './reads/cursor-key.ts';
import { READS } from './reads/read-list.ts';
import { registerReads } from './reads/register.ts';
import { registerSealKeys } from './seal/keys-route.ts';
import { createMembersSeen, type MembersSeen } from './security/members-seen.ts';
import { recordRefusal } from './security/refusals.ts';
import { createSecurityLog } from './security/security-log.ts';
import { createLookups } from './submit/lookups.ts';
import { createSubmit } from './submit/submit.ts';
import { createWriteRuns } from './submit/write-runs.ts';
import { registerWebhooks } from './webhooks/routes.ts';
import { createApprovalList } from './writes/approval-list.ts';
import { createAuditBatch } from './writes/audit-batch.ts';
import { registerCancel } from './writes/cancel.ts';
import { registerDecisions } from './writes/decide.ts';
import { createWriteList } from './writes/list.ts';
import { registerWriteProof } from './writes/proof.ts';
import { registerWriteRoutes } from './writes/routes.ts';
import { registerWriteStatus } from './writes/status.ts';

/** Per company and process: five test calls of a webhook at once, then one every ten seconds. */
const WEBHOOK_TESTS_PER_SECOND = 0.1;
const WEBHOOK_TESTS_AT_ONCE = 5;

export type RunningApi = {
  readonly url: string;
  /** Turns /readyz to 503, and makes each answer the last on its connection. */
  drain(): void;
  /** Answers every accepted request, then closes everything in order. */
  close(): Promise<void>;
};

export type ApiOptions = {
  readonly logger: Logger;
  /** Where this process serves the core metrics of Temporal's SDK, if it does. */
  readonly coreMetricsAddress?: string | undefined;
  /** Replaces the product's operations, for tests of the write path itself. */
  readonly operations?: readonly Operation[];
  /** `false` counts nothing, so that a benchmark can measure what counting costs. */
  readonly instrumentation?: boolean;
  /** Smaller ones are for tests. */
  readonly uploadLimits?: Partial<UploadLimits>;
};

/** The API and a worker of the write queue, on one connection to Temporal: a start can only be eager that way. */
export async function startApi(config: ApiConfig, options: ApiOptions): Promise<RunningApi> {
  const { logger } = options;
  const operations = options.operations ?? OPERATIONS;
  const database = await openProcessDatabase(config, 'accubooks-api', logger);
  const connection = await connectTemporal(config);
  await checkNamespace(connection, config);

  const metrics = createMetrics({ database, operations, instrumentation: options.instrumentation ?? true });
  const client = createClient(connection, config, { logger, metrics });
  const target = { taskQueue: config.TEMPORAL_TASK_QUEUE, ...pinnedToOwnRelease(config) };
  const runs = createWriteRuns(client, target);
  const fence = await createFence(database.reads, logger);
  const lookups = createLookups(database.reads, fence);
  const groups = createGroupRuns(client, target, fence.process);
  const lane = createLane({ groups, fence, database, runs: createNamedRuns(client, target), isForeground: true });
  const submit = createSubmit({
    lookups,
    runs,
    groups,
    fence,
    lane,
    maxInFlight: config.MAX_IN_FLIGHT_WRITES,
    grouping: config.WRITE_GROUPING === 'on',
    wake: (args) => void signalRun(client, workflowIdOf(args.companyId, args.key)).catch(() => undefined),
    // What leaves now would only wait for connections.
    isBacklogged: database.writes.shares.isBacklogged,
    observeStart(lane, waitedMs) {
      if (lane === 'group') metrics.groupSize.observe(waitedMs.length);
      for (const ms of waitedMs) metrics.startWait.observe({ lane }, ms);
    },
    summarize: (args) => summaryOf(operations, args),
    onUnexpected: (error, { key, operation, request }) =>
      logger.error({ err: error, requestId: request.id, key, operation }, 'A submission failed'),
  });
  metrics.observeSubmit(submit);
  const reports = {
    config,
    database,
    operations,
    metrics,
    logger,
    fence,
    onOutcome: submit.handOver,
    onPending: submit.handPending,
    onLockWait: submit.noteLockWait,
    onFailedRun: submit.giveUp,
  };
  const workflowBundle = await loadWorkflowBundle(config);
  const worker = await createWriteWorker({ ...reports, connection, workflowBundle });
  const running = worker.run();
  const verifier = startVerifier({ fence, database, client, target, operations, logger, lanesOf: lane.registeredAt });
  metrics.observeTrust(fence);

  const security = createSecurityLog({
    pool: database.reads,
    logger,
    onRows: (rows, outcome) => (outcome === 'written' ? metrics.securityRows : metrics.securityRowsDropped).inc(rows),
  });
  const { app, refuseOtherMethods, servedRoutes } = await createServer(logger, {
    trustedProxyHops: config.TRUSTED_PROXY_HOPS,
    onProblem(problem, request) {
      metrics.problems.inc({ code: problem.code });
      if (request !== undefined) recordRefusal(security, problem, request);
    },
    maxConnectionsPerAddress: config.MAX_CONNECTIONS_PER_ADDRESS,
    onConnectionRefused: () => metrics.connectionsRefused.inc(),
  });
  noteMembers(app, createMembersSeen(database.reads));
  const uploads = createUploadLimit();
  metrics.observeUploads(uploads);
  const ui = { url: config.TEMPORAL_UI_URL, namespace: config.TEMPORAL_NAMESPACE };
  const context: ApiContext = {
    config,
    database,
    fence,
    operations,
    runs,
    lookups,
    submit,
    reports: writeDependencies(reports),
    wake: (args) =>
      wakeRun(
        {
          client,
          taskQueue: config.TEMPORAL_TASK_QUEUE,
          ...notPinned(config),
          fence,
          summarize: (one) => summaryOf(operations, one),
        },
        args,
      ),
    batches: createBatchStarts(client, config.TEMPORAL_TASK_QUEUE),
    uploadLimits: { ...UPLOAD_LIMITS, ...options.uploadLimits },
    metrics,
    ui,
    cursors: createCursors(await readCursorKey(database.reads)),
    audit: createAuditBatch(database.reads, (rows, ms) => {
      metrics.auditRows.observe(rows);
      metrics.auditMs.observe(ms);
    }),
    security,
    newWrites: createRateLimit(config.RATE_LIMIT_PER_SECOND, config.RATE_LIMIT_BURST),
    replays: createRateLimit(config.REPLAY_RATE_LIMIT_PER_SECOND, config.REPLAY_RATE_LIMIT_PER_SECOND),
    webhookTests: createRateLimit(WEBHOOK_TESTS_PER_SECOND, WEBHOOK_TESTS_AT_ONCE),
    statusWaits: createWaitLimit(config.MAX_STATUS_WAITS_PER_COMPANY),
    uploads,
  };
  const keySet = config.JWT_JWKS_URL === undefined ? undefined : openKeySet(config.JWT_JWKS_URL, logger);
  metrics.observeKeySet(keySet ?? { ageSeconds: 0 });
  const revoked = await watchRevokedTokens(database.reads, logger);
  const health = registerHealth(app, {
    database,
    fence,
    keySet,
    registry: metrics.registry,
    metricsToken: config.METRICS_TOKEN,
    coreMetricsAddress: options.coreMetricsAddress,
  });
  await registerDocs(app, operations, servedRoutes);
  await registerConsole(app, config);
  registerSealKeys(app, database);
  const failures = createSignInLimit(config.FAILED_SIGN_INS_PER_MINUTE);
  await registerApiRoutes(app, context, limitingFailures(createAuthenticate(config, { keySet, revoked }), failures));
  const operators = createOperatorAuthenticate(config, { keySet, revoked });
  const letOperatorsIn = operators === undefined ? undefined : limitingFailures(operators, failures);
  await app.register(async (routes) => registerCodec(routes, { config, security, authenticate: letOperatorsIn }));
  const operatorRoutes = await registerOperators(app, context, letOperatorsIn);
  refuseOtherMethods();
  // Without its worker no start is eager and outcomes are not handed over: the process reports failure and is replaced.
  running.catch((error: unknown) => {
    logger.fatal({ err: error }, 'The worker has stopped');
    health.fail();
  });
  await untilReleaseIsKnown(connection, config);
  await lane.tick();
  const url = await app.listen({ host: config.HOST, port: config.PORT });

  const drain = () => {
    health.drain();
    operatorRoutes.drain();
  };
  return {
    url,
    drain,
    async close() {
      drain();
      await app.close();
      operatorRoutes.close();
      keySet?.close();
      revoked.close();
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await running.catch(() => undefined);
      await lane.close();
      await verifier.close();
      fence.close();
      await security.close();
      await connection.close();
      await database.close();
    },
  };
}

/** Everything below /api: authentication and the media type first, then the routes. */
async function registerApiRoutes(app: FastifyInstance, context: ApiContext, authenticate: Authenticate): Promise<void> {
  // Awaited, since refuseOtherMethods needs to know all routes.
  await app.register(async (api) => {
    api.addHook('onRequest', async (request) => {
      request.caller = await authenticate(request);
      if (request.routeOptions.config.takesFile !== true) requireJson(request);
    });
    registerWriteRoutes(api, context);
    registerWriteStatus(api, context);
    registerWriteProof(api, context);
    registerCancel(api, context);
    registerDecisions(api, context);
    const lists = [createWriteList, createApprovalList, createBatchList].map((list) =>
      list(context.operations, context.ui),
    );
    registerReads(api, [...READS, ...lists], context);
    registerExports(api, context);
    await registerBatches(api, context);
    registerWebhooks(api, context);
  });
}

/** Whose request succeeded has used the company. A refused request changes no row, not even that one. */
function noteMembers(app: FastifyInstance, seen: MembersSeen): void {
  app.addHook('onResponse', async ({ caller }, { statusCode }) => {
    if (statusCode < 400 && caller?.userId !== undefined) seen.note(caller.companyId, caller.userId);
  });
}
