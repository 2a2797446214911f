import { createServer } from 'node:http';
import closeWithGrace from 'close-with-grace';
import { pino } from 'pino';
import { OPERATIONS } from '../activities/operation-list.ts';
import { startApprovals } from './approvals/start-approvals.ts';
import { startAuditor } from './auditor/start-auditor.ts';
import { startBatches } from './batches/start-batches.ts';
import { loadWorkflowBundle } from './bundle.ts';
import { createClient } from './client.ts';
import { readWorkerConfig, WORKER_DRAIN_LIMIT_MS } from './config.ts';
import { makeFirstReleaseCurrent } from './current-release.ts';
import { startEvents } from './events.ts';
import { createFence } from './fence.ts';
import { freeLoopbackPort } from './free-port.ts';
import { startMaintenance } from './maintenance.ts';
import { createMetrics } from './metrics.ts';
import { mayScrape, metricsPage } from './metrics-page.ts';
import { openProcessDatabase } from './process-database.ts';
import { startSealing } from './seal/start-sealing.ts';
import { checkNamespace, connectTemporal, installRuntime } from './temporal.ts';
import { startVerifier } from './verification/verifier.ts';
import { pinnedToOwnRelease } from './versioning.ts';
import { createWriteWorker } from './write-worker.ts';

/** The worker process: finishes the runs of API processes that died, and runs the outbox relay, events, maintenance and the auditor. */
async function main(): Promise<void> {
  const config = readWorkerConfig();
  const logger = pino({ level: config.LOG_LEVEL, base: { process: 'worker' } });
  const coreMetricsAddress = `127.0.0.1:${await freeLoopbackPort()}`;
  installRuntime(logger, coreMetricsAddress);
  const database = await openProcessDatabase(config, 'accubooks-worker', logger);
  const connection = await connectTemporal(config);
  await checkNamespace(connection, config);
  const metrics = createMetrics({ database, operations: OPERATIONS });
  const workflowBundle = await loadWorkflowBundle(config);
  const fence = await createFence(database.reads, logger);
  metrics.observeTrust(fence);
  const shared = { config, connection, workflowBundle, database, fence, operations: OPERATIONS, metrics, logger };
  const worker = await createWriteWorker(shared);
  const events = await startEvents(shared);
  const batches = await startBatches(shared);
  const closeApprovals = startApprovals(shared);
  const sealing = await startSealing(shared);
  const verifier = startVerifier({
    ...shared,
    client: createClient(connection, config, { logger, metrics }),
    target: { taskQueue: config.TEMPORAL_TASK_QUEUE, ...pinnedToOwnRelease(config) },
    lanesOf: batches.registeredAt,
  });
  const stopping = new AbortController();
  const maintenance = await startMaintenance(shared);
  const auditor = await startAuditor(shared);

  const server = createServer((request, response) => {
    void answer(request.url, request.headers.authorization).then(([status, page]) =>
      response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(page),
    );
  });
  async function answer(url: string | undefined, authorization: string | undefined): Promise<[number, string]> {
    if (url === '/livez') return [200, ''];
    if (url !== '/metrics') return [404, ''];
    if (!mayScrape(authorization, config.METRICS_TOKEN)) return [401, ''];
    return [200, await metricsPage(metrics.registry, coreMetricsAddress)];
  }
  server.listen(config.METRICS_PORT, config.HOST);

  const { uninstall } = closeWithGrace({ delay: WORKER_DRAIN_LIMIT_MS, logger: false }, async ({ signal, err }) => {
    if (err !== undefined) logger.fatal({ err }, 'The worker stops on an uncaught error');
    else logger.info({ signal }, 'The worker is draining');
    if (worker.getState() === 'RUNNING') worker.shutdown();
    stopping.abort();
    await Promise.all([events.close(), batches.close(), closeApprovals(), sealing.close()]);
    await Promise.all([maintenance.close(), auditor.close()]);
    await running.catch(() => undefined);
    server.close();
    await verifier.close();
    fence.close();
    await connection.close();
    await database.close();
  });
  logger.info({ taskQueue: config.TEMPORAL_TASK_QUEUE }, 'The worker is polling');
  const running = worker.run();
  void makeFirstReleaseCurrent(connection, config, logger, stopping.signal);
  await Promise.race([running, events.ended, batches.ended, sealing.ended, maintenance.ended, auditor.ended]).catch(
    (error: unknown) => {
      uninstall();
      throw error;
    },
  );
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
