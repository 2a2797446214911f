import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { decodeJwt } from 'jose';
import { childEnvironment, projectFolder } from './local-config.ts';
import { type LocalSystem, readLocalJson } from './local-json.ts';

export type Tenant = { readonly companyId: string; readonly token: string };

/** The API to send a load to, the companies to send it as, and the database to check its outcome in. */
export type Target = {
  readonly url: string;
  readonly tenants: readonly Tenant[];
  /** Without it, only the API's answers can be checked. */
  readonly databaseUrl: string | undefined;
};

export type TargetOptions = {
  readonly url?: string;
  readonly token?: string;
  /** A file with the output of `company:create`, a token on each line. */
  readonly tenantsFile?: string;
  readonly databaseUrl?: string;
};

/** A line is about 600 bytes; `company:create` prints at most 10,000 of them. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/**
 * Finds the local system unless another URL is given. On the local system it creates companies for this run, so that the
 * demo's books do not change; elsewhere it uses the companies of the given tokens.
 */
export async function findTarget(options: TargetOptions, tenantCount: number): Promise<Target> {
  const local = readLocalJson();
  const url = (options.url ?? local?.apiUrl)?.replace(/\/$/, '');
  if (url === undefined) {
    throw new Error(
      'No local system is running. Start one ("npm start", with the same DATA_DIR), or give --url and tokens.',
    );
  }
  const isLocal = local !== undefined && url === local.apiUrl;
  const databaseUrl = options.databaseUrl ?? (isLocal ? local.databaseUrl : undefined);
  return { url, tenants: await findTenants(options, tenantCount, isLocal ? local : undefined), databaseUrl };
}

export function readTenants(file: string): Tenant[] {
  return tenantsIn(readFileSync(file, 'utf8'), file);
}

async function findTenants(options: TargetOptions, count: number, local: LocalSystem | undefined): Promise<Tenant[]> {
  if (options.tenantsFile !== undefined) {
    const tenants = readTenants(options.tenantsFile);
    if (tenants.length >= count) return tenants.slice(0, count);
    throw new Error(`${options.tenantsFile} has ${tenants.length} companies, but ${count} are needed.`);
  }
  if (options.token !== undefined && count === 1) return [tenantOf(options.token)];
  if (local !== undefined) return createTenants(count);
  throw new Error(
    count === 1
      ? 'Give --token: the token of a user with a role that may write.'
      : 'Give --tenants-file: the output of company:create, with a token for each company.',
  );
}

function tenantOf(token: string): Tenant {
  const { company_id: companyId } = decodeJwt<{ company_id?: string }>(token);
  if (companyId === undefined) throw new Error('The token has no company_id claim.');
  return { companyId, token };
}

async function createTenants(count: number): Promise<Tenant[]> {
  const people = ['--name', 'Load test', '--owner-email', `owner-${randomUUID()}@load.test`];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', 'deploy/operator/company-create.ts', ...people, '--count', String(count)],
    // Do not pass on the shell's DATABASE_URL, which may name another database.
    { cwd: projectFolder, env: childEnvironment({}), maxBuffer: MAX_OUTPUT_BYTES },
  );
  return tenantsIn(stdout, 'company:create');
}

function tenantsIn(lines: string, source: string): Tenant[] {
  return lines
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const { companyId, token } = JSON.parse(line) as Partial<Tenant>;
      if (companyId === undefined || token === undefined) throw new Error(`${source} has a line without a token.`);
      return { companyId, token };
    });
}
