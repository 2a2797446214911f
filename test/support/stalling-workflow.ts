import { CancellationScope } from '@temporalio/workflow';

/** Longer than the SDK's own limit for workflow code. */
const STALL_NS = 6_000_000_000n;

/** Stands still, as all code of a process does when its machine has no CPU for it. */
export async function stall(): Promise<void> {
  // In a scope, as the workflow of a group is: it makes Node track the context of each promise.
  await CancellationScope.nonCancellable(async () => {
    await Promise.resolve();
    const { getTimeOfDay } = (globalThis as unknown as Sandbox).__TEMPORAL_ACTIVATOR__;
    const end = getTimeOfDay() + STALL_NS;
    while (getTimeOfDay() < end);
  });
}

/** The one clock in the sandbox of workflow code that goes on while the code runs. */
type Sandbox = { readonly __TEMPORAL_ACTIVATOR__: { getTimeOfDay(): bigint } };
