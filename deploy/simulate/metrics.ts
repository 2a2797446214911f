import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** What the processes count and what the audit log and the requests for approval have, of all companies: metrics know none. */
export type Tally = {
  /** By name and labels, such as `writes createPayment new`; of all processes together. */
  readonly metrics: ReadonlyMap<string, number>;
  /** The same, of the database. */
  readonly audit: ReadonlyMap<string, number>;
  /** When each process started: a restarted one has lost its counts. */
  readonly begun: string;
};

const SAMPLE = /^(\w+)(?:\{([^}]*)\})? (\S+)$/gm;
const RESTARTED_WITHIN_MS = 60_000;
const RESTART_POLL_MS = 500;
const WAITING = 'approvals waiting';
const LABEL = /(\w+)="([^"]*)"/g;

export async function takeTally(auditor: pg.Client, metricsUrls: readonly string[]): Promise<Tally> {
  const pages = await Promise.all(metricsUrls.map(readPage));
  const metrics = new Map<string, number>();
  const begun: string[] = [];
  for (const [, name = '', labelText = '', value = ''] of pages.flatMap((page) => [...page.matchAll(SAMPLE)])) {
    if (name === 'process_start_time_seconds') begun.push(value);
    const labels = Object.fromEntries([...labelText.matchAll(LABEL)].map(([, label, text]) => [label, text]));
    const counted = nameOf(name, labels);
    if (counted !== undefined) metrics.set(counted, (metrics.get(counted) ?? 0) + Number(value));
    // Each worker tells the same of the database.
    if (name === 'approvals_waiting') metrics.set(WAITING, Math.max(metrics.get(WAITING) ?? 0, Number(value)));
  }
  return { metrics, audit: await readAudit(auditor), begun: begun.join(' ') };
}

/** Waits for a process that was killed and is being started again. */
async function readPage(url: string): Promise<string> {
  const deadline = performance.now() + RESTARTED_WITHIN_MS;
  for (;;) {
    try {
      const response = await fetch(url);
      if (response.ok) return await response.text();
      throw new Error(`Its status is ${response.status}`);
    } catch (cause) {
      if (performance.now() > deadline) throw new Error(`The metrics at ${url} cannot be read.`, { cause });
      await sleep(RESTART_POLL_MS);
    }
  }
}

function nameOf(name: string, { operation, status, error_type: errorType }: Record<string, string>) {
  switch (name) {
    case 'idempotent_writes_total':
      return `writes ${operation} ${status}`;
    case 'idempotent_writes_replayed_total':
      return `replayed ${operation}`;
    case 'idempotent_writes_failed_total':
      // Answered 503: that is no audit row, since nothing is known of the write.
      return errorType === 'unavailable' ? undefined : `failed ${operation} ${errorType}`;
    case 'idempotent_writes_workflows_triggered_total':
      return `triggered ${operation}`;
    case 'write_record_missing_total':
      return 'record missing';
    default:
      return undefined;
  }
}

async function readAudit(auditor: pg.Client): Promise<ReadonlyMap<string, number>> {
  type Row = { operation: string; status: string; error_code: string | null; n: number; triggered: number };
  const { rows } = await auditor.query<Row>(
    `SELECT operation_name AS operation, status, error_code, count(*)::int AS n, sum(workflows_triggered)::int AS triggered
     FROM idempotent_write_audit_log
     -- A lost write is told, and reopened, by whoever compares the database with Temporal: no process counts it.
     WHERE error_code IS DISTINCT FROM 'write_record_missing' GROUP BY 1, 2, 3`,
  );
  const waiting = await auditor.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM approval_requests WHERE closed_at IS NULL',
  );
  const audit = new Map<string, number>([
    ['record missing', 0],
    [WAITING, waiting.rows[0]?.n ?? 0],
  ]);
  const add = (name: string, n: number) => audit.set(name, (audit.get(name) ?? 0) + n);
  for (const { operation, status, error_code: code, n, triggered } of rows) {
    add(`writes ${operation} ${status}`, n);
    if (status === 'replayed') add(`replayed ${operation}`, n);
    if (status === 'failed') add(`failed ${operation} ${errorTypeOf(code)}`, n);
    if (triggered > 0) add(`triggered ${operation}`, triggered);
  }
  return audit;
}

/** The audit log has the code of a rejection, the metric that it was one. */
function errorTypeOf(code: string | null): string {
  if (code === 'idempotency_key_reused') return 'mismatch';
  if (code === 'write_cancelled') return 'cancelled';
  return code === 'write_failed' ? 'run_failed' : 'rejected';
}

export type Counted = { readonly name: string; readonly metric: number; readonly audit: number };

/** How much each has grown between the two; undefined if a process was restarted. */
export function growth(before: Tally, after: Tally): readonly Counted[] | undefined {
  if (before.begun !== after.begun) return undefined;
  const names = new Set([...after.metrics.keys(), ...after.audit.keys()]);
  const grown = (of: 'metrics' | 'audit', name: string) => (after[of].get(name) ?? 0) - (before[of].get(name) ?? 0);
  return [...names].toSorted().map((name) => ({ name, metric: grown('metrics', name), audit: grown('audit', name) }));
}
