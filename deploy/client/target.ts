import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { decodeJwt } from 'jose';
import { childEnvironment, projectFolder } from '../cli/local-config.ts';
import { type LocalSystem, readLocalJson } from '../cli/local-json.ts';

export type Tenant = { readonly companyId: string; readonly token: string };

/** Where a load goes, as which companies, and where its outcome can be looked up. */
export type Target = {
  readonly url: string;
  readonly tenants: readonly Tenant[];
  /** Without it only what the API shows can be checked. */
  readonly databaseUrl: string | undefined;
};

export type TargetOptions = {
  readonly url?: string;
  readonly token?: string;
  /** The lines that `company:create` prints, each with its token. */
  readonly tenantsFile?: string;
  readonly databaseUrl?: string;
};

/** A line is about 600 bytes; `company:create` prints at most 10,000 of them. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/**
 * The local system unless another URL is given; there, companies of the run's own, so that the demo's books stay as they
 * are. Elsewhere the companies are those whose tokens are given.
 */
export async function findTarget(options: TargetOptions, tenantCount: number): Promise<Target> {
  const local = readLocalJson();
  const url = (options.url ?? local?.apiUrl)?.replace(/\/$/, '');
  if (url === undefined) {
    throw new Error('No local system is ready. Start one ("npm start", the same DATA_DIR), or give --url and tokens.');
  }
  const isLocal = local !== undefined && url === local.apiUrl;
  const databaseUrl = options.databaseUrl ?? (isLocal ? local.databaseUrl : undefined);
  return { url, tenants: await findTenants(options, tenantCount, isLocal ? local : undefined), databaseUrl };
}

async function findTenants(options: TargetOptions, count: number, local: LocalSystem | undefined): Promise<Tenant[]> {
  if (options.tenantsFile !== undefined) {
    const tenants = tenantsIn(readFileSync(options.tenantsFile, 'utf8'), options.tenantsFile);
    if (tenants.length >= count) return tenants.slice(0, count);
    throw new Error(`${options.tenantsFile} has ${tenants.length} companies, ${count} are needed.`);
  }
  if (options.token !== undefined && count === 1) return [tenantOf(options.token)];
  if (local !== undefined) return createTenants(count);
  throw new Error(
    count === 1
      ? 'Give the --token of a user who may write there.'
      : 'Give --tenants-file: the lines that company:create prints, with a token of each company.',
  );
}

function tenantOf(token: string): Tenant {
  const { company_id: companyId } = decodeJwt<{ company_id?: string }>(token);
  if (companyId === undefined) throw new Error('The token names no company (company_id).');
  return { companyId, token };
}

async function createTenants(count: number): Promise<Tenant[]> {
  const people = ['--name', 'Load test', '--owner-email', `owner-${randomUUID()}@load.test`];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', 'deploy/operator/company-create.ts', ...people, '--count', String(count)],
    // A DATABASE_URL of the shell's may be another database than the local system's.
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
