import { ApiProblem } from '../http/problems.ts';

/** Bounds the uploads in progress in this process: each holds memory, and a connection to the database from time to time. */
export type UploadLimit = {
  /** How many are in progress. */
  readonly open: number;
  /** Runs the work as an upload. Throws `rate_limited` and `overloaded` where there are as many already. */
  within<T>(companyId: string, work: () => Promise<T>): Promise<T>;
};

/** A company that sends many files at once gains nothing by it: its batches run one at a time. */
const AT_ONCE_PER_COMPANY = 4;
/** An upload holds the rows of a chunk and the longest of its lines: some MB. */
const AT_ONCE = 16;

export function createUploadLimit({ perCompany = AT_ONCE_PER_COMPANY, inAll = AT_ONCE } = {}): UploadLimit {
  const byCompany = new Map<string, number>();
  let open = 0;
  return {
    get open() {
      return open;
    },
    async within(companyId, work) {
      const count = (byCompany.get(companyId) ?? 0) + 1;
      if (count > perCompany) {
        throw new ApiProblem('rate_limited', {
          detail: `${perCompany} files of the company are being uploaded already. Send this one when one of them is answered.`,
        });
      }
      if (open >= inAll) {
        throw new ApiProblem('overloaded', {
          detail: `${inAll} files are being uploaded already. Nothing of this one was stored. Send it again with the same key after Retry-After.`,
        });
      }
      byCompany.set(companyId, count);
      open += 1;
      try {
        return await work();
      } finally {
        open -= 1;
        const left = (byCompany.get(companyId) ?? 0) - 1;
        if (left > 0) byCompany.set(companyId, left);
        else byCompany.delete(companyId);
      }
    },
  };
}
