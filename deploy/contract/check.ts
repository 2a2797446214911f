import { randomUUID } from 'node:crypto';
import type { Operation } from '../../activities/operation.ts';
import { asAuditor } from '../cli/auditor.ts';
import { inParallel } from '../cli/in-parallel.ts';
import { openPooledHttp } from '../cli/pooled-http.ts';
import type { Progress } from '../cli/progress.ts';
import type { Tenant } from '../cli/target.ts';
import type { Http } from '../client/src/http.ts';
import { openBooks } from './books.ts';
import { requestMaker } from './requests.ts';
import { checkRoutes } from './routes.ts';
import { type Rule, settle, type Trial } from './rule.ts';
import { authAndConcurrency } from './rules/auth-and-concurrency.ts';
import { deterministicId } from './rules/deterministic-id.ts';
import { effectsOnce } from './rules/effects-once.ts';
import { keyRequired } from './rules/key-required.ts';
import { oneTransaction } from './rules/one-transaction.ts';
import { replayAndMismatch } from './rules/replay-and-mismatch.ts';
import { tenantIsolation } from './rules/tenant-isolation.ts';
import { uniqueInDatabase } from './rules/unique-in-database.ts';
import type { Subject } from './subject.ts';

const RULES: readonly Rule[] = [
  keyRequired,
  deterministicId,
  uniqueInDatabase,
  oneTransaction,
  replayAndMismatch,
  tenantIsolation,
  effectsOnce,
  authAndConcurrency,
];

export type ContractReport = {
  /** The gaps of each operation per rule; empty if the operation keeps the rule. */
  readonly operations: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  readonly routes: readonly string[];
  readonly gaps: readonly string[];
};

/** How many operations are checked at a time, each in companies in which nobody else writes. */
const CONCURRENT_OPERATIONS = 3;
const CONNECTIONS = 64;

/** How many companies are needed: two per operation, and one for the other routes. */
export function companiesFor(operations: readonly Operation[]): number {
  return operations.length * 2 + 1;
}

/** Checks each of `operations` against each rule, and all routes against `all` operations. */
export async function checkContract(
  subject: Subject,
  { operations, all }: { readonly operations: readonly Operation[]; readonly all: readonly Operation[] },
  progress: Progress,
): Promise<ContractReport> {
  const http = openPooledHttp(subject.url, { connections: CONNECTIONS });
  try {
    const [probed, ...tenants] = subject.tenants as [Tenant, ...Tenant[]];
    const routes = await asAuditor(subject.databaseUrl, async (auditor) =>
      gapsIn(async () => checkRoutes({ http, books: await openBooks(auditor), home: probed }, all)),
    );
    progress.done(`checked the other routes: ${routes.length} gaps`);
    const kept = await inParallel(CONCURRENT_OPERATIONS, operations, async (operation, index) => {
      const [home, abroad] = tenants.slice(index * 2, index * 2 + 2) as [Tenant, Tenant];
      const byRule = await checkOperation(http, subject, operation, { home, abroad });
      progress.done(`${operation.name}: ${Object.values(byRule).flat().length} gaps`);
      return [operation.name, byRule] as const;
    });
    return { operations: Object.fromEntries(kept), routes, gaps: [...routes, ...kept.flatMap(gapsOf)] };
  } finally {
    await http.close();
  }
}

function checkOperation(
  http: Http,
  subject: Subject,
  operation: Operation,
  tenants: Pick<Trial, 'home' | 'abroad'>,
): Promise<Record<string, readonly string[]>> {
  const run = `contract-${randomUUID().slice(0, 8)}`;
  return asAuditor(subject.databaseUrl, async (auditor) => {
    const trial: Trial = {
      ...tenants,
      operation,
      subject,
      http,
      books: await openBooks(auditor),
      auditorToken: await makeAuditor(http, subject, tenants.home),
      request: requestMaker(http, operation, { run, newcomerId: subject.newcomerId }),
    };
    const byRule: Record<string, readonly string[]> = {};
    for (const rule of RULES) byRule[rule.name] = await gapsIn(() => rule.check(trial));
    return byRule;
  });
}

/** Grants the role through the API, as an owner would. */
async function makeAuditor(http: Http, { auditorId, sign }: Subject, { companyId, token }: Tenant): Promise<string> {
  const path = `/api/users/${auditorId}/access`;
  const body = JSON.stringify({ roles: ['auditor'] });
  const { status } = await settle(http, { method: 'POST', path, token, key: 'contract:auditor', body });
  if (status !== 200) throw new Error(`The role auditor cannot be granted in ${companyId}: ${status}`);
  return sign({ subject: auditorId, companyId });
}

/** A rule that cannot be checked counts as not kept. */
async function gapsIn(check: () => Promise<readonly string[]>): Promise<readonly string[]> {
  try {
    return await check();
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

function gapsOf([name, byRule]: readonly [string, Readonly<Record<string, readonly string[]>>]): readonly string[] {
  return Object.entries(byRule).flatMap(([rule, gaps]) => gaps.map((gap) => `${name}, ${rule}: ${gap}`));
}
