import { Worker, type WorkerOptions } from '@temporalio/worker';
import type { Logger } from 'pino';
import { DAY_MS } from '../activities/durations.ts';
import type { PayloadConfig } from './config.ts';
import { dataConverterOf } from './payloads/data-converter.ts';

/**
 * By default the SDK interrupts workflow code that has not returned after 5 s by the clock. Node often ends the whole process
 * then: "async hook stack has become corrupted" (nodejs/node#38503). So a machine that stands still for 5 s, or has no CPU
 * left for that long, would lose its API and worker processes. Our workflows have no loop that could need the limit.
 * The SDK reads this option, but does not declare it.
 */
const PATIENT = { isolateExecutionTimeout: DAY_MS };

export type WorkerBasis = {
  readonly config: PayloadConfig;
  readonly logger: Logger;
  readonly metrics: { readonly temporalRefused: { inc(): void } };
};

/** Every worker of this system is made here. */
export function createWorker({ config, logger, metrics }: WorkerBasis, options: WorkerOptions): Promise<Worker> {
  const dataConverter = dataConverterOf(config, {
    onRefused(reason, context) {
      metrics.temporalRefused.inc();
      logger.error({ reason, workflowId: context?.workflowId }, 'A payload of Temporal is not ours and was refused');
    },
  });
  return Worker.create({ namespace: config.TEMPORAL_NAMESPACE, dataConverter, ...options, ...PATIENT });
}
