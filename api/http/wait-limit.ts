import { ApiProblem } from './problems.ts';

/** Bounds how many requests of one company wait at once in this process for something that another request makes. */
export type WaitLimit = {
  /** Runs the work as one that waits. Throws `rate_limited` where as many of the company wait already. */
  within<T>(companyId: string, work: () => Promise<T>): Promise<T>;
};

export function createWaitLimit(max: number): WaitLimit {
  const waiting = new Map<string, number>();
  return {
    async within(companyId, work) {
      const count = (waiting.get(companyId) ?? 0) + 1;
      if (count > max) {
        throw new ApiProblem('rate_limited', {
          detail: `${max} requests of the company wait already. Wait until one is answered, or send this one without wait.`,
        });
      }
      waiting.set(companyId, count);
      try {
        return await work();
      } finally {
        const left = (waiting.get(companyId) ?? 0) - 1;
        if (left > 0) waiting.set(companyId, left);
        else waiting.delete(companyId);
      }
    },
  };
}
