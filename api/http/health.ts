import type { FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { type Database, queryOnce } from '../../activities/database.ts';
import type { ProcessFence } from '../../worker/fence.ts';
import { mayScrape, metricsPage } from '../../worker/metrics-page.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { KeySet } from './key-set.ts';

const CHECK_TIMEOUT_MS = 1_000;

export type HealthDependencies = {
  readonly database: Database;
  readonly fence: Pick<ProcessFence, 'state'>;
  /** Undefined where tokens are signed with a secret of ours. */
  readonly keySet: Pick<KeySet, 'state' | 'hasAnswered'> | undefined;
  readonly registry: Registry;
  readonly metricsToken: string | undefined;
  /** Where this process serves the core metrics of Temporal's SDK, if it does. */
  readonly coreMetricsAddress: string | undefined;
};

/**
 * `/livez`: the process answers. `/readyz`: it should receive new requests. That requires PostgreSQL but not Temporal,
 * since replays and reads work without Temporal; nor a verified database, since an unverified one serves them, too. Of the
 * identity provider it requires to have answered once: afterwards, an outage of it concerns all processes alike, and clients
 * are to get our answer, `authentication_unavailable`, instead of a proxy's.
 * `/metrics`: one scrape document.
 */
export function registerHealth(
  app: FastifyInstance,
  { database, fence, keySet, registry, metricsToken, coreMetricsAddress }: HealthDependencies,
) {
  let state: 'serving' | 'draining' | 'failed' = 'serving';
  app.get('/livez', async (_request, reply) => reply.code(state === 'failed' ? 503 : 200).send({ status: state }));
  app.get('/readyz', async (_request, reply) => {
    const check = queryOnce(database.reads, 'SELECT 1').then(() => 'ok' as const);
    const answered = (await withTimeout(check, CHECK_TIMEOUT_MS).catch(() => undefined)) ?? 'unavailable';
    const ready = state === 'serving' && answered === 'ok' && keySet?.hasAnswered !== false;
    const checks = { database: answered, trust: fence.state, authentication: keySet?.state ?? 'ok' };
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : state, checks });
  });
  app.get('/metrics', async (request, reply) => {
    if (!mayScrape(request.headers.authorization, metricsToken)) return reply.code(401).send();
    const page = await metricsPage(registry, coreMetricsAddress);
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(page);
  });
  // A keep-alive connection would hold the draining server open: this answer is the last on its connection.
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
