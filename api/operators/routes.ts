import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ApiContext } from '../context.ts';
import { ApiProblem } from '../http/problems.ts';
import { createRateLimit } from '../http/rate-limit.ts';
import { registerAnyWrite } from './any-write.ts';
import { createLiveStreams } from './now/live.ts';
import { createPrometheusSource } from './now/prometheus.ts';
import { createSampler } from './now/sampler.ts';

/** Requests of one operator, per process. */
const PER_SECOND = 20;
const BURST = 100;

/** What the routes of operators keep open. */
export type OperatorRoutes = {
  /** Ends the streams: the process is about to end. */
  drain(): void;
  close(): void;
};

/**
 * Everything below /operator, for holders of a token with the operators' audience alone. `authenticate` returns the subject;
 * undefined where there is no such audience, and nobody is let in.
 */
export async function registerOperators(
  app: FastifyInstance,
  context: ApiContext,
  authenticate: ((request: FastifyRequest) => Promise<string>) | undefined,
): Promise<OperatorRoutes> {
  const { config, metrics } = context;
  const source =
    config.PROMETHEUS_URL === undefined
      ? createSampler({
          registry: metrics.registry,
          urls: config.CONSOLE_METRICS_URLS,
          metricsToken: config.METRICS_TOKEN,
          // Nobody may look at it.
          isSampling: authenticate !== undefined,
        })
      : createPrometheusSource({ url: config.PROMETHEUS_URL });
  const streams = createLiveStreams(source);
  const limit = createRateLimit(PER_SECOND, BURST);
  const subjects = new WeakMap<FastifyRequest, string>();
  const letIn = async (request: FastifyRequest): Promise<string> => {
    if (authenticate === undefined) {
      throw new ApiProblem('unauthenticated', {
        detail: 'No token opens this: there is no audience of operators (OPERATOR_AUDIENCE).',
        headers: { 'www-authenticate': 'Bearer realm="accubooks"' },
      });
    }
    return authenticate(request);
  };

  await app.register(async (operators) => {
    operators.addHook('onRequest', async (request, reply) => {
      reply.header('cache-control', 'no-store');
      const subject = await letIn(request);
      if (!limit.take(subject))
        throw new ApiProblem('rate_limited', { detail: 'Send the request again after the pause in Retry-After.' });
      subjects.set(request, subject);
    });
    registerAnyWrite(operators, context, (request) => subjects.get(request) ?? '');
    operators.get('/operator/now', async (_request, reply) => reply.send(await source.snapshot()));
    // A HEAD would open a stream that nobody reads.
    operators.get('/operator/live', { exposeHeadRoute: false }, async (request, reply) => {
      const subject = subjects.get(request) ?? '';
      const stream = streams.open({ subject, stillAllowed: () => letIn(request), response: reply.raw });
      // Proxies that gather what they pass on would hold snapshots back.
      reply.header('x-accel-buffering', 'no');
      return reply.type('text/event-stream; charset=utf-8').send(stream);
    });
  });
  app.addHook('preClose', async () => streams.end());
  return { drain: streams.end, close: source.close };
}
