import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { asAuditor } from '../cli/auditor.ts';
import { type Before, check, type Findings, lookBefore } from '../isolation/checks.ts';
import { countNotReplayed, foreignAnswers, keysOf } from '../isolation/isolation.ts';
import { type IsolationReport, reportOn } from '../isolation/report.ts';
import type { ChaosSent, Ran, Stage } from './scenario.ts';
import { type Timeline, timelineOf } from './timeline.ts';

/** The end of one scenario; its counts are the database's where there is one. */
export type Verdict = IsolationReport &
  Timeline & {
    readonly seconds: number;
    /** How many troubles there were. */
    readonly troubles: number;
    readonly facts: Readonly<Record<string, string | number>>;
  };

export type Look = ReadonlyMap<string, Before>;

const REPEAT_CONCURRENCY = 32;

/** What is in the companies before the scenario, by operation. */
export async function lookAround({ target }: Stage): Promise<Look> {
  const { databaseUrl, tenants } = target;
  if (databaseUrl === undefined) return new Map();
  const companyIds = tenants.map(({ companyId }) => companyId);
  return asAuditor(databaseUrl, async (auditor) => {
    const look = new Map<string, Before>();
    for (const operation of OPERATIONS) look.set(operation.name, await lookBefore(auditor, operation, companyIds));
    return look;
  });
}

export async function judge(stage: Stage, ran: Ran, look: Look): Promise<Verdict> {
  const { sent } = ran;
  const { databaseUrl } = stage.target;
  const byOperation = splitByOperation(sent);
  const findings = databaseUrl === undefined ? undefined : await findAll(databaseUrl, byOperation, look);
  const notReplayed =
    databaseUrl === undefined ? await countNotReplayed(stage.http, sent, REPEAT_CONCURRENCY) : undefined;
  const shownToAnother = byOperation.reduce((sum, [operation, ofIt]) => sum + foreignAnswers(ofIt, operation), 0);
  const seconds = (ran.loadEndedAt - ran.loadBeganAt) / 1_000;
  const report = reportOn({ sent, seconds, findings, notReplayed, shownToAnother });
  return {
    ...report,
    ...timelineOf(ran),
    seconds,
    troubles: ran.troubles.length,
    facts: ran.facts ?? {},
    violations: [...report.violations, ...(ran.violations ?? [])],
  };
}

/** The sum over the operations. What is off in a whole company, such as an invoice, then counts once for each of them. */
async function findAll(
  databaseUrl: string,
  byOperation: readonly [Operation, readonly ChaosSent[]][],
  look: Look,
): Promise<Findings> {
  return asAuditor(databaseUrl, async (auditor) => {
    const sum: Record<keyof Findings, number> = {
      ...{ writes: 0, rejected: 0, cancelled: 0, duplicates: 0 },
      ...{ lost: 0, acknowledgedButMissing: 0, seenByAnother: 0, unbalanced: 0 },
    };
    for (const [operation, sent] of byOperation) {
      const found = await check(auditor, operation, keysOf(sent), look.get(operation.name) ?? { strays: 0 });
      for (const name of Object.keys(sum) as (keyof Findings)[]) sum[name] += found[name];
    }
    return sum;
  });
}

function splitByOperation(sent: readonly ChaosSent[]): [Operation, readonly ChaosSent[]][] {
  return OPERATIONS.map((one): [Operation, readonly ChaosSent[]] => [
    one,
    sent.filter(({ operation }) => operation.name === one.name),
  ]).filter(([, ofIt]) => ofIt.length > 0);
}
