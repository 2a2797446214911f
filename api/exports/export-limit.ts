import { ApiProblem } from '../http/problems.ts';

/** Bounds the exports in progress in this process: each holds a page in memory, and a connection to the client for long. */
export type ExportLimit = {
  /** Runs the work as an export. Throws `rate_limited` and `overloaded` where there are as many already. */
  within<T>(companyId: string, work: () => Promise<T>): Promise<T>;
};

/** Each reads page after page: more at once would only share the connections of the company’s reads. */
const AT_ONCE_PER_COMPANY = 2;
const AT_ONCE = 16;

export function createExportLimit({ perCompany = AT_ONCE_PER_COMPANY, inAll = AT_ONCE } = {}): ExportLimit {
  const companies: string[] = [];
  return {
    async within(companyId, work) {
      if (companies.filter((one) => one === companyId).length >= perCompany) {
        throw new ApiProblem('rate_limited', {
          detail: `${perCompany} exports of the company are in progress already. Ask again when one of them is over.`,
        });
      }
      if (companies.length >= inAll) {
        throw new ApiProblem('overloaded', { detail: `${inAll} exports are in progress already.` });
      }
      companies.push(companyId);
      try {
        return await work();
      } finally {
        companies.splice(companies.indexOf(companyId), 1);
      }
    },
  };
}
