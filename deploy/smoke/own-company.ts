import type { Http } from '../client/src/http.ts';

/** The names of companies that exist for checks in production. */
const CHECK_COMPANY_NAMES = /^(Smoke|Benchmark)\b/i;

/**
 * Throws unless the token's company was confirmed by `named` and exists for such checks: even a customer called "Smoke test"
 * must not appear in the books of a real company.
 */
export async function requireOwnCompany(
  http: Http,
  remote: { token: string; companyId: string },
  named: string,
): Promise<void> {
  if (named.toLowerCase() !== remote.companyId.toLowerCase()) {
    throw new Error(
      `The token belongs to the company ${remote.companyId}, but --company names ${named}. Nothing was sent.`,
    );
  }
  const answer = await http.send({ method: 'GET', path: '/api/company/settings', token: remote.token });
  if (answer.status !== 200) throw new Error(`The company's settings cannot be read: ${answer.status} ${answer.text}`);
  const { name } = JSON.parse(answer.text) as { name: string };
  if (CHECK_COMPANY_NAMES.test(name)) return;
  throw new Error(
    `${name} may be a customer's company. In production this runs only in a company whose name begins with "Smoke" or "Benchmark".`,
  );
}
