import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import type pg from 'pg';
import { type Checked, checkControls } from '../../activities/controls/controls.ts';
import { asAuditor } from '../cli/auditor.ts';
import { inParallel } from '../cli/in-parallel.ts';
import { openPooledHttp } from '../cli/pooled-http.ts';
import type { Progress } from '../cli/progress.ts';
import { problemOf } from '../client/src/answers.ts';
import type { Answer } from '../client/src/http.ts';
import type { Subject } from '../contract/subject.ts';
import { auditWrites } from './audit-writes.ts';
import { checkAnswers, type Finding } from './check-answers.ts';
import { checkApprovals } from './check-approvals.ts';
import { countCompany, type Equation } from './counts.ts';
import { type Counted, growth, type Tally, takeTally } from './metrics.ts';
import { planHour } from './plan.ts';
import { readApprovals } from './read-approvals.ts';
import { NOTHING } from './requests/books.ts';
import { type Outcome, runPlan, type Tokens } from './run.ts';
import type { Step } from './step.ts';

export type SimulationOptions = {
  readonly seed: string;
  readonly operations: number;
  readonly concurrency: number;
  /** Of all API and worker processes; without them, the metrics are not compared. */
  readonly metricsUrls: readonly string[];
};

export type Simulation = {
  readonly companyIds: readonly string[];
  readonly steps: readonly Step[];
  readonly outcomes: readonly Outcome[];
  readonly seconds: number;
  readonly controls: readonly Checked[];
  readonly equations: readonly { readonly companyId: string; readonly equations: readonly Equation[] }[];
  /** Undefined if they could not be compared. */
  readonly metrics: readonly Counted[] | undefined;
  readonly findings: readonly Finding[];
};

/** How many of the next company's resources each company tries to read. */
const FOREIGN_READS = 25;
const SETTLED_AFTER_MS = 2_000;
const SETTLES_WITHIN_MS = 120_000;

/** Sends random business of new companies through HTTP, then compares books, record, metrics and answers. */
export async function simulate(subject: Subject, options: SimulationOptions, progress: Progress): Promise<Simulation> {
  const people = await peopleOf(subject);
  const { seed, operations, concurrency, metricsUrls } = options;
  const steps = planHour({ seed, operations, companies: people });
  progress.done(`planned ${steps.length} requests for ${operations} writes in ${people.length} companies`);
  const companyIds = people.map(({ companyId }) => companyId);
  const looking = <T>(work: (auditor: pg.Client) => Promise<T>) => asAuditor(subject.databaseUrl, work);
  const before = await looking(async (auditor) => {
    await requireUnusedKeys(auditor, companyIds, seed);
    return takeTally(auditor, metricsUrls);
  });

  const startedAt = performance.now();
  const tokens = people.map(({ tokens }) => tokens);
  const outcomes = await runPlan(subject.url, steps, tokens, { concurrency, progress });
  const seconds = (performance.now() - startedAt) / 1_000;

  progress.done('waiting for triggered workflows, then checking');
  const after = await settled(() => looking((auditor) => takeTally(auditor, metricsUrls)));
  const foreign = await readForeign(subject.url, outcomes, tokens);
  const approved = await looking((auditor) => readApprovals(auditor, subject.url, companyIds, tokens));
  return looking(async (auditor) => ({
    companyIds,
    steps,
    outcomes,
    seconds,
    controls: await checkControls(auditor, companyIds),
    equations: await countCompanies(auditor, companyIds, outcomes),
    metrics: metricsUrls.length === 0 ? undefined : growth(before, after),
    findings: [
      ...(await checkAnswers(auditor, outcomes, companyIds, sharedIds(subject))),
      ...(await checkApprovals(auditor, outcomes, companyIds)),
      ...approved,
      await auditWrites(auditor, companyIds),
      foreign,
    ],
  }));
}

async function peopleOf({ tenants, auditorId, newcomerId, sign }: Subject) {
  return Promise.all(
    tenants.map(async ({ companyId, token }) => {
      const accountant = await sign({ subject: auditorId, companyId });
      const tokens: Tokens = { owner: token, accountant, newcomer: await sign({ subject: newcomerId, companyId }) };
      return { companyId, ownerId: decodeJwt(token).sub ?? '', accountantId: auditorId, newcomerId, tokens };
    }),
  );
}

/** The same seed in the same companies would only give replays. */
async function requireUnusedKeys(auditor: pg.Client, companyIds: readonly string[], seed: string): Promise<void> {
  const { rows } = await auditor.query<{ used: boolean }>(
    `SELECT EXISTS (SELECT FROM idempotent_writes
       WHERE company_id = ANY ($1) AND starts_with(idempotency_key, $2)) AS used`,
    [companyIds, `sim:${seed}:`],
  );
  if (rows[0]?.used) throw new Error(`These companies have seen the seed ${seed}: give another, or other companies.`);
}

/** Triggered workflows still write after the run. They have finished when nothing has changed for a while. */
async function settled(take: () => Promise<Tally>): Promise<Tally> {
  const deadline = performance.now() + SETTLES_WITHIN_MS;
  let last = await take();
  while (performance.now() < deadline) {
    await sleep(SETTLED_AFTER_MS);
    const now = await take();
    if (JSON.stringify([...now.audit, ...now.metrics]) === JSON.stringify([...last.audit, ...last.metrics])) return now;
    last = now;
  }
  return last;
}

function countCompanies(auditor: pg.Client, companyIds: readonly string[], outcomes: readonly Outcome[]) {
  return inParallel(1, companyIds, async (companyId, company) => {
    const own = outcomes.filter(({ step }) => step.company === company);
    const replays = own.filter(({ final }) => final?.replayed).length;
    const mismatches = own.filter(({ final }) => final && codeOf(final) === 'idempotency_key_reused').length;
    return { companyId, equations: await countCompany(auditor, companyId, { replays, mismatches }) };
  });
}

/** Each company tries to read resources of the next one; each read must be answered 404. */
async function readForeign(url: string, outcomes: readonly Outcome[], tokens: readonly Tokens[]): Promise<Finding> {
  const http = openPooledHttp(url, { connections: 8 });
  const reads = tokens.flatMap((_, company) => {
    const owner = (company + 1) % tokens.length;
    const paths = outcomes.flatMap(({ step, final }) =>
      step.company === owner && final?.status === 201 && isByItsId(final.location) ? [final.location ?? ''] : [],
    );
    return owner === company ? [] : paths.slice(0, FOREIGN_READS).map((path) => ({ company, path }));
  });
  try {
    const answers = await inParallel(8, reads, async ({ company, path }) => {
      const { status, text } = await http.send({ method: 'GET', path, token: tokens[company]?.owner ?? '' });
      return status === 404 ? [] : [`${path} is answered ${status} ${text.slice(0, 300)}`];
    });
    return {
      promise: 'What is another company’s cannot be read',
      checked: reads.length,
      wrong: answers.flat(),
    };
  } finally {
    await http.close();
  }
}

/** The paths of accounts and fiscal years have a code or a year, which two companies may both have. */
function isByItsId(location: string | undefined): boolean {
  return location !== undefined && !/^\/api\/ledger\/(accounts|fiscal-years)\//.test(location);
}

function sharedIds({ auditorId, newcomerId }: Subject): readonly string[] {
  return [auditorId, newcomerId, NOTHING];
}

function codeOf(answer: Answer): string | undefined {
  return problemOf(answer)?.code;
}
