/** Lets at most `permits` of the tasks run at once; the others wait, first in, first out. */
export type Semaphore = {
  /** Undefined when the signal is aborted before the task's turn: it is not run, and its place in the queue is gone. */
  run<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T | undefined>;
  readonly queued: number;
};

export function createSemaphore(permits: number): Semaphore {
  /** In the order of their insertion. */
  const queue = new Set<() => void>();
  let running = 0;

  /** False when the signal came first. */
  function turn(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const begin = () => resolve(true);
      queue.add(begin);
      signal.addEventListener('abort', () => queue.delete(begin) && resolve(false), { once: true });
    });
  }

  return {
    get queued() {
      return queue.size;
    },
    async run(task, signal) {
      if (signal.aborted) return undefined;
      if (running < permits) running += 1;
      else if (!(await turn(signal))) return undefined;
      try {
        // It may be aborted right after it was given its turn.
        return signal.aborted ? undefined : await task();
      } finally {
        // The permit goes straight to the next in the queue, so that a newcomer cannot take it.
        const [next] = queue;
        if (next === undefined) running -= 1;
        else {
          queue.delete(next);
          next();
        }
      }
    },
  };
}
