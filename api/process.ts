import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import { pino } from 'pino';
import { freeLoopbackPort } from '../worker/free-port.ts';
import { installRuntime } from '../worker/temporal.ts';
import { startApi } from './app.ts';
import { API_DRAIN_LIMIT_MS, readApiConfig } from './config.ts';

/**
 * Between "not ready" and closing: load balancers look away, and requests whose bytes have come in but were not read yet
 * are read. A connection that is closed with unread bytes is reset, and its client cannot know what became of them.
 */
const LINGER_MS = 1_000;

/**
 * The API as a process of its own: configuration from the environment, and nothing else. One that cannot start says why and
 * ends the process.
 */
export function runApiProcess(options: { readonly instrumentation: boolean }): void {
  run(options).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  });
}

async function run({ instrumentation }: { readonly instrumentation: boolean }): Promise<void> {
  const config = readApiConfig();
  const logger = pino({ level: config.LOG_LEVEL, base: { process: 'api' } });
  const coreMetricsAddress = instrumentation ? `127.0.0.1:${await freeLoopbackPort()}` : undefined;
  installRuntime(logger, coreMetricsAddress);
  const api = await startApi(config, { logger, instrumentation, coreMetricsAddress });
  logger.info({ url: api.url }, 'The API is listening');
  closeWithGrace({ delay: API_DRAIN_LIMIT_MS, logger: false }, async ({ signal, err }) => {
    if (err !== undefined) logger.fatal({ err }, 'The API ends by an error that nothing caught');
    else logger.info({ signal }, 'The API is draining');
    api.drain();
    await sleep(LINGER_MS);
    await api.close();
  });
}
