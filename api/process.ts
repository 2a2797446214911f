import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import { pino } from 'pino';
import { freeLoopbackPort } from '../worker/free-port.ts';
import { installRuntime } from '../worker/temporal.ts';
import { startApi } from './app.ts';
import { API_DRAIN_LIMIT_MS, readApiConfig } from './config.ts';

/**
 * The pause between "not ready" and closing. Load balancers stop sending, and requests whose bytes have arrived are read.
 * A connection that is closed with unread bytes is reset, and its client cannot know what became of its request.
 */
const LINGER_MS = 1_000;

/** The API process. Its configuration comes from the environment only. If it cannot start, the process exits with 1. */
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
    if (err !== undefined) logger.fatal({ err }, 'The API is exiting after an uncaught error');
    else logger.info({ signal }, 'The API is draining');
    api.drain();
    await sleep(LINGER_MS);
    await api.close();
  });
}
