/** Lets at most so many starts be on their way at once; the others wait their turn, first come, first served. */
export type StartGate = {
  pass<T>(start: () => Promise<T>): Promise<T>;
  readonly queued: number;
};

export function createStartGate(width: number): StartGate {
  const queue: (() => void)[] = [];
  let inside = 0;
  return {
    get queued() {
      return queue.length;
    },
    async pass(start) {
      if (inside >= width) await new Promise<void>((resolve) => queue.push(resolve));
      else inside += 1;
      try {
        return await start();
      } finally {
        // The place is handed to the next in line, so that a newcomer cannot take it.
        const next = queue.shift();
        if (next === undefined) inside -= 1;
        else next();
      }
    },
  };
}
