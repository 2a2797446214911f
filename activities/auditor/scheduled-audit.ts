import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { RUN_REFUSED } from '../../workflows/refused.ts';
import type {
  AuditOrder,
  AuditRunFacts,
  AuditScope,
  ScheduledAuditActivities,
} from '../../workflows/scheduled-audit-messages.ts';
import { type Pool, transaction } from '../database.ts';
import { DAY_MS } from '../durations.ts';
import { askAsAuditor } from './auditor-pool.ts';
import type { AuditCheck, Range } from './check.ts';
import { createMemoryJournal } from './journal.ts';
import { companiesOf, runAudit } from './run-audit.ts';

export type ScheduledAuditDependencies = {
  /** Its login is a member of accubooks_auditor. */
  readonly pool: Pool;
  readonly checks: readonly AuditCheck[];
  /** Whether payloads are authenticated: only then does an order show anything. */
  readonly requireOrder: boolean;
};

/** As many as the table keeps of a run. */
const MOST_FINDINGS = 1_000;
/** A run that fails on one day leaves its writes to those of the next days. */
const RECENT_DAYS = 3;
/** One statement may read whole books, during which only a timer can send heartbeats. */
const HEARTBEAT_MS = 10_000;

/** The activity of the auditor's schedules. */
export function createScheduledAudit({
  pool,
  checks,
  requireOrder,
}: ScheduledAuditDependencies): ScheduledAuditActivities {
  return {
    async auditBooks(order) {
      if (requireOrder && typeof order?.schedule !== 'string') {
        throw ApplicationFailure.nonRetryable('The run was refused. Its schedule has not ordered it.', RUN_REFUSED);
      }
      const context = Context.current();
      const alive = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
      try {
        const { runId } = context.info.workflowExecution ?? { runId: '' };
        return await auditAndRecord({ pool, checks, scope: order.scope, runId, signal: context.cancellationSignal });
      } finally {
        clearInterval(alive);
      }
    },
  };
}

type ScheduledAudit = {
  readonly pool: Pool;
  readonly checks: readonly AuditCheck[];
  readonly scope: AuditScope;
  /** Of the run of the workflow. */
  readonly runId: AuditOrder['schedule'];
  readonly signal: AbortSignal;
};

/** Asks one statement after the other: the writes of the day come first. */
async function auditAndRecord({ pool, checks, scope, runId, signal }: ScheduledAudit): Promise<AuditRunFacts> {
  // biome-ignore lint/plugin: the days of the calendar, and when the run began.
  const startedAt = new Date();
  const range: Range = {
    from: scope === 'all' ? null : new Date(startedAt.getTime() - RECENT_DAYS * DAY_MS).toISOString().slice(0, 10),
    to: null,
  };
  const ask = askAsAuditor(pool);
  const journal = createMemoryJournal(MOST_FINDINGS);
  const companies = await companiesOf(ask, undefined);
  journal.note({ task: 'companies', step: { checked: { companies: companies.length } } });
  await runAudit({ ask, checks, companies, range, journal, parallel: 1, signal });
  const { checked, findings: count, couldNotAsk } = journal.tally;
  const run = {
    run_id: runId,
    scope,
    started_at: startedAt.toISOString(),
    from_day: range.from,
    to_day: range.to,
    checked,
    finding_count: count,
    findings: journal.findings,
    could_not_ask: couldNotAsk,
    explained: journal.explained,
  };
  await transaction(pool, async (tx) => {
    await tx.query("SELECT set_config('role', 'accubooks_auditor', true)");
    await tx.query('SELECT record_audit_run($1)', [JSON.stringify(run)]);
  });
  return { scope, writes: checked.writes, findings: count, couldNotAsk: couldNotAsk.length };
}
