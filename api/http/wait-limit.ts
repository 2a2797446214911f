import { ApiProblem } from './problems.ts';

/** Bounds how many requests of one company wait at once in this process for something that another request makes. */
export type WaitLimit = {
  /** Runs the work as one that waits. Throws `rate_limited` where as many of the company wait already. */
  within<T>(companyId: string, work: () => Promise<T>): Promise<T>;
  /** The same for work without which there is an answer. False: it was left out, as many of the company wait already. */
  ifFree(companyId: string, work: () => Promise<unknown>): Promise<boolean>;
};

export function createWaitLimit(max: number): WaitLimit {
  const waiting = new Map<string, number>();
  const isFull = (companyId: string) => (waiting.get(companyId) ?? 0) >= max;
  async function counted<T>(companyId: string, work: () => Promise<T>): Promise<T> {
    waiting.set(companyId, (waiting.get(companyId) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (waiting.get(companyId) ?? 0) - 1;
      if (left > 0) waiting.set(companyId, left);
      else waiting.delete(companyId);
    }
  }
  return {
    async within(companyId, work) {
      if (isFull(companyId)) {
        throw new ApiProblem('rate_limited', {
          detail: `${max} requests of the company wait already. Wait until one is answered, or send this one without wait.`,
        });
      }
      return counted(companyId, work);
    },
    async ifFree(companyId, work) {
      if (isFull(companyId)) return false;
      await counted(companyId, work);
      return true;
    },
  };
}
