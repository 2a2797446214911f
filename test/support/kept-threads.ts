import { createRequire } from 'node:module';
import { Worker as Thread } from 'node:worker_threads';

/**
 * Each of Temporal's workers runs its workflows in a thread of its own, which spends a third of a second of CPU on loading
 * the SDK. A process of the tests makes hundreds of workers one after the other: here the thread of one that has ended is
 * kept for the next. Nothing else is: each worker has the thread alone, and in it a sandbox of its own with its own bundle.
 */
export function keepWorkflowThreads(): void {
  const original = ThreadedVMWorkflowCreator.create;
  ThreadedVMWorkflowCreator.create = async ({ threadPoolSize, logger, ...options }) => {
    if (options.patchActivationCallback !== undefined) {
      return original.call(ThreadedVMWorkflowCreator, { threadPoolSize, logger, ...options });
    }
    const clients = Array.from({ length: threadPoolSize }, () => take(logger));
    await Promise.all(
      clients.map((client) => client.send({ type: 'init', ...options, hasPatchActivationCallback: false })),
    );
    const creator = new ThreadedVMWorkflowCreator(clients);
    creator.destroy = async () => {
      await Promise.all(clients.map(giveBack));
    };
    return creator;
  };
}

/** More than a process has at once, but for a few tests. */
const KEPT_AT_MOST = 3;

const idle: Client[] = [];

function take(logger: unknown): Client {
  const kept = idle.pop();
  kept?.workerThread.ref();
  return kept ?? new WorkerThreadClient(new Thread(PROGRAM_OF_THREAD), logger);
}

async function giveBack(client: Client): Promise<void> {
  const isEmpty = client.getActiveWorkflowCount() === 0 && !client.workerExited;
  if (!isEmpty || idle.length >= KEPT_AT_MOST) return client.destroy();
  await client.send({ type: 'destroy' });
  client.workerThread.unref();
  idle.push(client);
}

/** What the SDK has for a thread. */
type Client = {
  readonly workerThread: Thread;
  readonly workerExited: boolean;
  send(input: object): Promise<unknown>;
  getActiveWorkflowCount(): number;
  destroy(): Promise<void>;
};

type Options = {
  readonly threadPoolSize: number;
  readonly logger: unknown;
  readonly patchActivationCallback?: unknown;
};

type Creator = { destroy(): Promise<void> };

// The SDK does not export them.
const require = createRequire(import.meta.url);
const THREADED_VM = '@temporalio/worker/lib/workflow/threaded-vm';
const PROGRAM_OF_THREAD = require.resolve('@temporalio/worker/lib/workflow/workflow-worker-thread');
const { ThreadedVMWorkflowCreator, WorkerThreadClient } = require(THREADED_VM) as {
  readonly ThreadedVMWorkflowCreator: (new (
    clients: readonly Client[],
  ) => Creator) & {
    create(options: Options): Promise<Creator>;
  };
  readonly WorkerThreadClient: new (thread: Thread, logger: unknown) => Client;
};
