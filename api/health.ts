import type { FastifyInstance } from 'fastify';
import { queryOnce } from '../activities/database.ts';
import { mayScrape, metricsPage } from '../worker/metrics-page.ts';
import type { ApiContext } from './app.ts';
import { within } from './deferred.ts';

const CHECK_TIMEOUT_MS = 1_000;

/**
 * `/livez`: the process answers. `/readyz`: it should get new requests. Postgres has to answer for that; Temporal does
 * not, since replays and reads go on without it. `/metrics`: one scrape document.
 */
export function registerHealth(app: FastifyInstance, context: ApiContext, coreMetricsAddress: string | undefined) {
  let state: 'serving' | 'draining' | 'failed' = 'serving';
  app.get('/livez', async (_request, reply) => reply.code(state === 'failed' ? 503 : 200).send({ status: state }));
  app.get('/readyz', async (_request, reply) => {
    const check = queryOnce(context.database.lookups, 'SELECT 1').then(() => 'ok' as const);
    const database = (await within(check, CHECK_TIMEOUT_MS).catch(() => undefined)) ?? 'unavailable';
    const ready = state === 'serving' && database === 'ok';
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : state, checks: { database } });
  });
  app.get('/metrics', async (request, reply) => {
    if (!mayScrape(request.headers.authorization, context.config.METRICS_TOKEN)) return reply.code(401).send();
    const page = await metricsPage(context.metrics.registry, coreMetricsAddress);
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(page);
  });
  // A connection that is kept alive would hold the server open: the answer under way is its last.
  app.addHook('onSend', async (_request, reply) => {
    if (state !== 'serving') reply.header('connection', 'close');
  });
  return {
    drain() {
      if (state === 'serving') state = 'draining';
    },
    fail() {
      state = 'failed';
    },
  };
}
