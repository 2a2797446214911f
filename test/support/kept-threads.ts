import { createRequire } from 'node:module';
import { Worker as Thread } from 'node:worker_threads';

/**
 * Each of Temporal's workers runs its workflows in a thread of its own, which spends half a second of CPU on loading the SDK
 * and the workflows. A process of the tests makes hundreds of workers one after the other: here the thread of one that has
 * ended, and has no run left, is kept for the next. No two have it at once, and one with other workflows or activities gets
 * a sandbox of its own in it.
 */
export function keepWorkflowThreads(): void {
  const original = ThreadedVMWorkflowCreator.create;
  ThreadedVMWorkflowCreator.create = async (options) => {
    if (options.patchActivationCallback !== undefined) return original.call(ThreadedVMWorkflowCreator, options);
    const threads = await Promise.all(Array.from({ length: options.threadPoolSize }, () => take(options)));
    const creator = new ThreadedVMWorkflowCreator(threads.map(({ client }) => client));
    creator.destroy = async () => {
      await Promise.all(threads.map(giveBack));
    };
    return creator;
  };
}

/** More than most tests have at once. */
const KEPT_AT_MOST = 4;

type KeptThread = { readonly client: Client; readonly options: Options };

const idle: KeptThread[] = [];

async function take(options: Options): Promise<KeptThread> {
  for (const { client } of [...idle]) if (client.workerExited) idle.splice(indexOf(client), 1);
  const ready = idle.findIndex((kept) => isSame(kept.options, options));
  const [kept] = ready === -1 ? idle.splice(0, 1) : idle.splice(ready, 1);
  kept?.client.workerThread.ref();
  if (kept !== undefined && ready !== -1) return kept;
  const client = kept?.client ?? new WorkerThreadClient(new Thread(PROGRAM_OF_THREAD), options.logger);
  const { threadPoolSize: _, logger: __, ...input } = options;
  await client.send({ type: 'init', ...input, hasPatchActivationCallback: false });
  return { client, options };
}

const indexOf = (client: Client) => idle.findIndex((kept) => kept.client === client);

async function giveBack(kept: KeptThread): Promise<void> {
  const { client } = kept;
  const isEmpty = client.getActiveWorkflowCount() === 0 && !client.workerExited;
  if (!isEmpty || idle.length >= KEPT_AT_MOST) return client.destroy();
  client.workerThread.unref();
  idle.push(kept);
}

/** A worker without activities is not one of ours, and always begins anew. */
function isSame(one: Options, other: Options): boolean {
  const [names, others] = [one.registeredActivityNames, other.registeredActivityNames];
  return (
    names.size > 0 &&
    [...names].toSorted().join() === [...others].toSorted().join() &&
    one.workflowBundle.filename === other.workflowBundle.filename &&
    one.workflowBundle.code === other.workflowBundle.code &&
    one.isolateExecutionTimeoutMs === other.isolateExecutionTimeoutMs &&
    one.reuseV8Context &&
    other.reuseV8Context
  );
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
  readonly workflowBundle: { readonly code: string; readonly filename: string };
  readonly isolateExecutionTimeoutMs: number | undefined;
  readonly reuseV8Context: boolean;
  readonly registeredActivityNames: ReadonlySet<string>;
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
