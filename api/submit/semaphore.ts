/** Lets at most `permits` of the tasks run at once. Companies take turns; within one it is first in, first out. */
export type Semaphore = {
  /** Undefined when the signal is aborted before the task's turn: it is not run, and its place in the queue is gone. */
  run<T>(companyId: string, task: () => Promise<T>, signal: AbortSignal): Promise<T | undefined>;
  readonly queued: number;
};

export function createSemaphore(permits: number): Semaphore {
  /** By company, both in the order of their insertion. */
  const queues = new Map<string, Set<() => void>>();
  let running = 0;

  /** False when the signal came first. */
  function turn(companyId: string, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const begin = () => resolve(true);
      const queue = queues.get(companyId) ?? new Set();
      queues.set(companyId, queue.add(begin));
      const leave = () => {
        if (!queue.delete(begin)) return;
        if (queue.size === 0) queues.delete(companyId);
        resolve(false);
      };
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  function takeNext(): (() => void) | undefined {
    for (const [companyId, queue] of queues) {
      const [next] = queue;
      if (next === undefined) continue;
      queue.delete(next);
      // Inserted again, the company has its next turn after all the others.
      queues.delete(companyId);
      if (queue.size > 0) queues.set(companyId, queue);
      return next;
    }
    return undefined;
  }

  return {
    get queued() {
      return [...queues.values()].reduce((sum, { size }) => sum + size, 0);
    },
    async run(companyId, task, signal) {
      if (signal.aborted) return undefined;
      if (running < permits) running += 1;
      else if (!(await turn(companyId, signal))) return undefined;
      try {
        // It may be aborted right after it was given its turn.
        return signal.aborted ? undefined : await task();
      } finally {
        // The permit goes straight to the next in the queue, so that a newcomer cannot take it.
        const next = takeNext();
        if (next === undefined) running -= 1;
        else next();
      }
    },
  };
}
