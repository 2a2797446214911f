import type { Http } from '../client/http.ts';

/** What a company for trying things out in production is called. */
const OURS = /^(Smoke|Benchmark)\b/i;

/**
 * Throws unless the token's company was named on purpose and is one that is there for this: in the books of a real one,
 * even a customer called "Smoke test" is wrong.
 */
export async function requireOwnCompany(
  http: Http,
  remote: { token: string; companyId: string },
  named: string,
): Promise<void> {
  if (named.toLowerCase() !== remote.companyId.toLowerCase()) {
    throw new Error(`The token is of the company ${remote.companyId}, and --company names ${named}. Nothing was sent.`);
  }
  const answer = await http.send({ method: 'GET', path: '/api/company/settings', token: remote.token });
  if (answer.status !== 200) throw new Error(`The company cannot be looked at: ${answer.status} ${answer.text}`);
  const { name } = JSON.parse(answer.text) as { name: string };
  if (OURS.test(name)) return;
  throw new Error(
    `${name} may be a customer's. In production this runs only in a company whose name begins with "Smoke" or "Benchmark".`,
  );
}
