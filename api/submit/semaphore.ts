/** Lets at most `permits` of the tasks run at once; the others wait, first in, first out. */
export type Semaphore = {
  run<T>(task: () => Promise<T>): Promise<T>;
  readonly queued: number;
};

export function createSemaphore(permits: number): Semaphore {
  const queue: (() => void)[] = [];
  let running = 0;
  return {
    get queued() {
      return queue.length;
    },
    async run(task) {
      if (running >= permits) await new Promise<void>((resolve) => queue.push(resolve));
      else running += 1;
      try {
        return await task();
      } finally {
        // The permit goes straight to the next in the queue, so that a newcomer cannot take it.
        const next = queue.shift();
        if (next === undefined) running -= 1;
        else next();
      }
    },
  };
}
