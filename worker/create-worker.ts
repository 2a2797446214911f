import { Worker, type WorkerOptions } from '@temporalio/worker';
import { DAY_MS } from '../activities/durations.ts';

/**
 * By default the SDK interrupts workflow code that has not returned after 5 s by the clock. Node often ends the whole process
 * then: "async hook stack has become corrupted" (nodejs/node#38503). So a machine that stands still for 5 s, or has no CPU
 * left for that long, would lose its API and worker processes. Our workflows have no loop that could need the limit.
 * The SDK reads this option, but does not declare it.
 */
const PATIENT = { isolateExecutionTimeout: DAY_MS };

/** Every worker of this system is made here. */
export function createWorker(options: WorkerOptions): Promise<Worker> {
  return Worker.create({ ...options, ...PATIENT });
}
