import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { localSigning, signingWith } from '../cli/config.ts';
import { childEnvironment, projectFolder } from '../cli/local-config.ts';
import { findTarget, type TargetOptions, type Tenant } from '../cli/target.ts';
import { mintToken } from '../cli/token.ts';

/** The running system to check, with companies, users and the means to sign tokens for it. */
export type Subject = {
  readonly url: string;
  readonly databaseUrl: string;
  /** Companies in which nobody else writes. */
  readonly tenants: readonly Tenant[];
  /** Users without a company: the first becomes an auditor in each, the second is for grants of access. */
  readonly auditorId: string;
  readonly newcomerId: string;
  /** Signs a token that the system accepts; a negative `ttlSeconds` makes an expired one. */
  sign(claims: { subject: string; companyId: string; ttlSeconds?: number }): Promise<string>;
};

export type SubjectOptions = TargetOptions & { readonly jwtSecretFile?: string };

export async function findSubject(options: SubjectOptions, tenantCount: number): Promise<Subject> {
  const { url, tenants, databaseUrl } = await findTarget(options, tenantCount);
  if (databaseUrl === undefined) {
    throw new Error('Give --database-url: half of the checks read the database.');
  }
  const signing = signingOf(options);
  const [auditorId, newcomerId] = [await createUser(databaseUrl), await createUser(databaseUrl)];
  return { url, databaseUrl, tenants, auditorId, newcomerId, sign: (claims) => mintToken({ ...signing, ...claims }) };
}

function signingOf({ jwtSecretFile, databaseUrl }: SubjectOptions) {
  if (jwtSecretFile !== undefined) return signingWith(jwtSecretFile);
  const local = localSigning();
  if (local !== undefined && (databaseUrl ?? local.databaseUrl) === local.databaseUrl) return local;
  throw new Error('Give --jwt-secret-file: expired tokens and tokens of other users can be made only with the secret.');
}

async function createUser(databaseUrl: string): Promise<string> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', 'deploy/operator/user-create.ts', '--email', `contract-${randomUUID()}@check.test`],
    { cwd: projectFolder, env: childEnvironment({ DATABASE_URL: databaseUrl }) },
  );
  return (JSON.parse(stdout) as { userId: string }).userId;
}
