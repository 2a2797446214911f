import { randomUUID } from 'node:crypto';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { Role } from '../../activities/roles.ts';
import { openPooledHttp } from '../../deploy/cli/pooled-http.ts';
import { answerOf, type Http, type HttpRequest } from '../../deploy/client/src/http.ts';
import { formatKey } from '../../deploy/client/src/keys.ts';
import type { Write } from '../../deploy/client/src/submit-write.ts';
import { requestMaker } from '../../deploy/contract/requests.ts';
import type { Answer } from './client.ts';
import type { Company } from './companies.ts';
import type { System } from './system.ts';

/** Writes by the examples of the operations, in companies of a test. */
export type Examples = {
  /** One that can succeed: what it names has been made in the company, and is used up by no other. */
  make(operation: Operation, company: Company, key?: string): Promise<Write>;
  close(): Promise<void>;
};

const CONNECTIONS = 32;

export async function openExamples({ url, owner, prepare }: System): Promise<Examples> {
  const { rows } = await owner.query('SELECT create_user($1) AS id', [`newcomer-${randomUUID()}@example.test`]);
  const pool = openPooledHttp(url, { connections: CONNECTIONS });
  const companies = new Map<string, Company>();
  /** What an example names is written without a request; it is read over HTTP. */
  const http: Http = {
    async send(request) {
      const { token, key = '', body } = request;
      const found = operationOf(request);
      const company = companies.get(token);
      if (found === undefined || company === undefined || body === undefined) return pool.send(request);
      const { operation, params } = found;
      const made = await prepare(company, operation.name, JSON.parse(body), { params, key });
      const headers = new Map([
        ['content-type', 'application/json'],
        ['idempotency-key', formatKey(key)],
      ]);
      return answerOf(operation.successStatus, (name) => headers.get(name), JSON.stringify(made));
    },
  };
  const makers = new Map<string, ReturnType<typeof requestMaker>>();
  return {
    make(operation, company, key) {
      const options = { run: operation.name, newcomerId: rows[0].id as string };
      const make = makers.get(operation.name) ?? requestMaker(http, operation, options);
      makers.set(operation.name, make);
      companies.set(company.users.owner.token, company);
      return make({ companyId: company.id, token: company.users.owner.token }, key);
    },
    close: () => pool.close(),
  };
}

/** The write that a request asks for, with the parameters of its path. */
function operationOf({ method, path }: HttpRequest) {
  for (const operation of OPERATIONS) {
    const route = new RegExp(`^${operation.path.replace(/:(\w+)/g, '(?<$1>[^/]+)')}$`);
    const match = operation.method === method ? route.exec(path) : null;
    if (match === null) continue;
    const given = Object.entries(match.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)]);
    return { operation, params: Object.fromEntries(given) as Record<string, string> };
  }
  return undefined;
}

export function sendAs(company: Company, role: Role, { method, path, key, body }: Write): Promise<Answer> {
  return company.as(role).post(path, body, { method, key, headers: { prefer: 'wait=60' } });
}
