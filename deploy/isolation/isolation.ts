import { randomUUID } from 'node:crypto';
import { writeId } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { asAuditor } from '../cli/auditor.ts';
import { exampleMaker } from '../cli/examples.ts';
import { inParallel } from '../cli/in-parallel.ts';
import { openPooledHttp } from '../cli/pooled-http.ts';
import type { Progress } from '../cli/progress.ts';
import { isAtSamePath } from '../cli/same-path.ts';
import type { Target, Tenant } from '../cli/target.ts';
import { problemOf } from '../client/src/answers.ts';
import type { Http } from '../client/src/http.ts';
import { type Submitted, submitWrite, type Write } from '../client/src/submit-write.ts';
import { check, type Findings, lookBefore } from './checks.ts';

export type IsolationOptions = {
  readonly operation: Operation;
  readonly requestsPerTenant: number;
  /** The share of the requests that repeat the key of another one. */
  readonly duplicates: number;
  readonly concurrency: number;
};

/** One request of the load and its result. */
export type Sent = {
  readonly tenant: Tenant;
  readonly write: Write;
  readonly submitted: Submitted;
  readonly latencyMs: number;
};

export type IsolationRun = {
  readonly sent: readonly Sent[];
  readonly seconds: number;
  /** The checks in the database; undefined if only the API could be queried. */
  readonly findings: Findings | undefined;
  /** Without a database: keys whose repetition did not get the same bytes. */
  readonly notReplayed: number | undefined;
  /** Answers, or reads with another company's token, that showed another company's data. */
  readonly shownToAnother: number;
};

const PREPARE_CONCURRENCY = 32;
const GIVE_UP_AFTER_MS = 180_000;

type Planned = { readonly tenant: Tenant; readonly write: Write };

/** Sends the same keys in each company with up to `concurrency` requests in flight, then checks the results. */
export async function runIsolation(
  target: Target,
  options: IsolationOptions,
  progress: Progress,
): Promise<IsolationRun> {
  const { operation, concurrency } = options;
  const http = openPooledHttp(target.url, { connections: concurrency });
  try {
    const planned = inOrder(await prepare(http, target, options, progress), options);
    const companyIds = target.tenants.map(({ companyId }) => companyId);
    const before =
      target.databaseUrl === undefined
        ? undefined
        : await asAuditor(target.databaseUrl, (auditor) => lookBefore(auditor, operation, companyIds));
    const startedAt = performance.now();
    const sent = await sendAll(http, planned, concurrency, progress);
    const seconds = (performance.now() - startedAt) / 1_000;

    progress.done('Checking');
    const shownToAnother =
      foreignAnswers(sent, operation) + (await foreignReads(http, target.tenants, { sent, operation }));
    if (target.databaseUrl === undefined || before === undefined) {
      const notReplayed = await countNotReplayed(http, sent, concurrency);
      return { sent, seconds, findings: undefined, notReplayed, shownToAnother };
    }
    const keys = keysOf(sent);
    const findings = await asAuditor(target.databaseUrl, (auditor) => check(auditor, operation, keys, before));
    return { sent, seconds, findings, notReplayed: undefined, shownToAnother };
  } finally {
    await http.close();
  }
}

/** Prepares one write per key and company, and the resources that the writes need. */
async function prepare(http: Http, { tenants }: Target, options: IsolationOptions, progress: Progress) {
  const run = `load-${randomUUID().slice(0, 8)}`;
  const maker = exampleMaker(http, options.operation, { run });
  const keysPerTenant = distinctKeys(options);
  const requests = tenants.flatMap((tenant) =>
    Array.from({ length: keysPerTenant }, (_, index) => ({ tenant, index })),
  );
  let done = 0;
  const planned = await inParallel(PREPARE_CONCURRENCY, requests, async ({ tenant, index }): Promise<Planned> => {
    const write = await maker.prepare(tenant, index, `${run}:${index}`);
    done += 1;
    progress.update(`prepared ${done} of ${requests.length} requests`);
    return { tenant, write };
  });
  progress.done(`prepared ${requests.length} requests in ${tenants.length} companies`);
  return planned;
}

function distinctKeys({ requestsPerTenant, duplicates }: IsolationOptions): number {
  return Math.max(1, requestsPerTenant - Math.floor(requestsPerTenant * duplicates));
}

/**
 * Orders the requests by company in turn. Half of the duplicates follow right after their original, while it is in flight;
 * the other half come last, after it has been answered.
 */
function inOrder(planned: readonly Planned[], options: IsolationOptions): Planned[] {
  const keys = distinctKeys(options);
  const tenants = planned.length / keys;
  const duplicates = options.requestsPerTenant - keys;
  const together: Planned[] = [];
  const last: Planned[] = [];
  for (let index = 0; index < Math.max(keys, duplicates); index += 1) {
    for (let tenant = 0; tenant < tenants; tenant += 1) {
      const original = planned[tenant * keys + (index % keys)] as Planned;
      if (index < keys) together.push(original);
      if (index < duplicates) (index % 2 === 0 ? together : last).push(original);
    }
  }
  return [...together, ...last];
}

async function sendAll(http: Http, planned: readonly Planned[], concurrency: number, progress: Progress) {
  let answered = 0;
  const sent = await inParallel(concurrency, planned, async ({ tenant, write }): Promise<Sent> => {
    const startedAt = performance.now();
    const submitted = await submitWrite(http, write, { deadlineMs: GIVE_UP_AFTER_MS });
    answered += 1;
    progress.update(`answered ${answered} of ${planned.length}`);
    return { tenant, write, submitted, latencyMs: performance.now() - startedAt };
  });
  progress.done(`answered ${answered} of ${planned.length}`);
  return sent;
}

/** A key is acknowledged when any request with it was. */
export function keysOf(sent: readonly Sent[]) {
  const keys = new Map<string, { companyId: string; key: string; acknowledged: boolean }>();
  for (const { tenant, write, submitted } of sent) {
    const id = writeKeyOf(tenant, write);
    const acknowledged = submitted.acknowledged || keys.get(id)?.acknowledged === true;
    keys.set(id, { companyId: tenant.companyId, key: write.key, acknowledged });
  }
  return [...keys.values()];
}

export function writeKeyOf(tenant: Tenant, write: Write): string {
  return `${tenant.companyId}/${write.key}`;
}

/** Counts answers for another company: a created resource has the ID of its write, which derives from the company. */
export function foreignAnswers(sent: readonly Sent[], operation: Operation): number {
  if (operation.successStatus !== 201 || isAtSamePath(operation)) return 0;
  return sent.filter(({ tenant, write, submitted }) => {
    if (submitted.final?.status !== 201) return false;
    return !submitted.final.text.includes(writeId(tenant.companyId, operation.name, write.key));
  }).length;
}

const EMPTY_LIST = JSON.stringify({ items: [], nextCursor: null });

/** Reads one resource of each company with the next company's token, which must not find it. */
async function foreignReads(
  http: Http,
  tenants: readonly Tenant[],
  { sent, operation }: { readonly sent: readonly Sent[]; readonly operation: Operation },
): Promise<number> {
  if (tenants.length < 2 || isAtSamePath(operation)) return 0;
  const shown = await inParallel(PREPARE_CONCURRENCY, tenants, async (tenant, index) => {
    const stranger = tenants[(index + 1) % tenants.length] as Tenant;
    const location = sent.find((one) => one.tenant === tenant && one.submitted.final?.location)?.submitted.final
      ?.location;
    if (location === undefined) return false;
    const answer = await http.send({ method: 'GET', path: location, token: stranger.token });
    // A list at the `Location` exists for every company, and must be empty.
    if (answer.text === EMPTY_LIST) return false;
    return answer.status < 400 || (answer.status !== 404 && problemOf(answer) === undefined);
  });
  return shown.filter(Boolean).length;
}

/** Without a database: sends acknowledged writes again and counts those that do not get the same answer. */
export async function countNotReplayed(http: Http, sent: readonly Sent[], concurrency: number): Promise<number> {
  const acknowledged = new Map(
    sent.filter(({ submitted }) => submitted.acknowledged).map((one) => [writeKeyOf(one.tenant, one.write), one]),
  );
  const replayed = await inParallel(concurrency, [...acknowledged.values()], async ({ write, submitted }) => {
    const { final } = await submitWrite(http, write, { deadlineMs: GIVE_UP_AFTER_MS });
    return final?.replayed === true && final.text === (submitted.final?.text ?? final.text);
  });
  return replayed.filter((same) => !same).length;
}
