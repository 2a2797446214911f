import { type ActivityInterceptorsFactory, Worker, type WorkerOptions } from '@temporalio/worker';
import { RUN_REFUSED, refusal, requireOurs } from '../workflows/refused.ts';
import type { PayloadConfig } from './config.ts';
import { dataConverterOf, type RefusalReport } from './payloads/data-converter.ts';

/**
 * By default the SDK interrupts workflow code that has not returned after 5 s by the clock. Node often ends the whole process
 * then: "async hook stack has become corrupted" (nodejs/node#38503). So a machine that stands still for 5 s, or has no CPU
 * left for that long, would lose its API and worker processes. Our workflows have no loop that could need a limit.
 *
 * And with any limit, Node starts and ends a thread that watches it at each call into the sandbox: measured, 110 µs of CPU
 * instead of 1, and a run needs ten such calls. The SDK's options only change the limit; without one its threads are made here.
 */
// biome-ignore lint/plugin: the SDK makes the threads in a static method of its class, which only a class can replace.
class UnlimitedWorker extends Worker {
  protected static override createWorkflowCreator(
    ...[bundle, options, logger]: Parameters<typeof Worker.createWorkflowCreator>
  ): ReturnType<typeof Worker.createWorkflowCreator> {
    // The SDK hands it on to `vm.Script.runInContext`, where `undefined` is no limit.
    const unlimited = { ...options, isolateExecutionTimeoutMs: undefined as never };
    return Worker.createWorkflowCreator(bundle, unlimited, logger);
  }
}

export type WorkerBasis = RefusalReport & { readonly config: PayloadConfig };

/** Every worker of this system is made here. */
export function createWorker({ config, ...report }: WorkerBasis, options: WorkerOptions): Promise<Worker> {
  return UnlimitedWorker.create({
    namespace: config.TEMPORAL_NAMESPACE,
    dataConverter: dataConverterOf(config, { report }),
    interceptors: { activity: [refuseForged] },
    ...options,
  });
}

/**
 * Whoever has access to the namespace can have any activity of ours done: by itself, or by a workflow of their own. It is
 * refused before it begins, unless a workflow of ours has given it each of its arguments.
 */
const refuseForged: ActivityInterceptorsFactory = ({ info }) => ({
  inbound: {
    async execute(input, next) {
      if (info.workflowExecution === undefined) throw refusal('no workflow has scheduled the activity', RUN_REFUSED);
      for (const argument of input.args) requireOurs(argument, RUN_REFUSED);
      return next(input);
    },
  },
});
