import { setTimeout as sleep } from 'node:timers/promises';
import { createPayment } from '../../../../activities/operations/create-payment.ts';
import type { BatchResource } from '../../../../api/batches/resource.ts';
import { asAuditor } from '../../../cli/auditor.ts';
import { median } from '../../../cli/latencies.ts';
import type { Progress } from '../../../cli/progress.ts';
import { check, lookBefore, violationsIn } from '../../../isolation/checks.ts';
import { cpuOf } from '../../cpu.ts';
import { measureApi, measureBaseline, pidsOf, serverPids } from '../run.ts';
import { medianSegment, type Segment } from '../segment.ts';
import type { Session } from '../session.ts';
import { startWorkerProcess } from '../worker-process.ts';
import { type BatchClient, openBatchClient } from './client.ts';
import { type PaymentsFile, paymentsFile } from './file.ts';

export type BatchOptions = {
  readonly rows: number;
  /** How long the write lane and SQL are measured before and after each batch. */
  readonly seconds: number;
  readonly repeat: number;
};

/** A batch from the first byte of its upload to its end. */
export type BatchRun = {
  readonly rows: number;
  readonly bytes: number;
  /** From the first byte until the file was stored, from the first chunk until the end, and both with what is between. */
  readonly uploadSeconds: number;
  readonly writingSeconds: number;
  readonly seconds: number;
  /** CPU time per row of each process, in milliseconds; undefined without /proc. */
  readonly cpuMs: Readonly<Record<string, number>> | undefined;
};

export type BatchResult = {
  readonly options: BatchOptions;
  readonly batches: readonly BatchRun[];
  /** The same files under other keys. */
  readonly replays: readonly BatchRun[];
  readonly lane: Segment;
  readonly sql: readonly { readonly concurrency: number; readonly segment: Segment }[];
  readonly ratios: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
};

export const LANE_CLIENTS = 32;
/** A script that pays row by row, and as many connections as the write lane has clients. */
const SQL_CONNECTIONS = [1, LANE_CLIENTS];
/** The process that has just started runs code that the JIT has not compiled yet. */
const WARM_UP_ROWS = 3_000;

/** Longer than batches of a worker give way after a write of the API (worker/batches/pacer.ts). */
const GIVEN_WAY_MS = 7_000;

/**
 * Measures batches of payments beside single payments and hand-written SQL, in turn, on the same servers; then looks into the
 * database.
 */
export async function measureBatches(
  session: Session,
  options: BatchOptions,
  { log, progress }: { readonly log: (line: string) => void; readonly progress: Progress },
): Promise<BatchResult> {
  const { rows, seconds, repeat } = options;
  const [payer] = session.payers;
  const apis = await session.apis('on');
  const [api] = apis;
  if (payer === undefined || api === undefined) throw new Error('Bug! The session has no company or no API');
  const worker = await startWorkerProcess(session);
  const client = openBatchClient(api.url, payer.token, session.signal);
  const pids = { ...pidsOf(apis), worker: worker.pid, ...serverPids(session) };
  const run = (key: string, file: PaymentsFile) => runBatch(client, pids, key, file, progress);
  const fileOf = (mark: string, count: number) => paymentsFile({ invoiceIds: payer.invoiceIds, rows: count, mark });
  const batches: BatchRun[] = [];
  const replays: BatchRun[] = [];
  const lane: Segment[] = [];
  const sql = SQL_CONNECTIONS.map((concurrency) => ({ concurrency, segments: [] as Segment[] }));
  const violations: string[] = [];
  const measureOthers = async () => {
    for (const { concurrency, segments } of sql) {
      segments.push(await measureBaseline(session, { seconds }, { kind: 'sql', concurrency }));
    }
    const measured = await measureApi(session, apis, {
      mode: 'new',
      concurrency: LANE_CLIENTS,
      rate: undefined,
      seconds,
    });
    lane.push(measured.segment);
    violations.push(...measured.violations);
  };
  try {
    log(`Warming up with a batch of ${WARM_UP_ROWS.toLocaleString('en')} rows`);
    const warm = fileOf('warm', WARM_UP_ROWS);
    await run('warm', warm);
    await run('warm-again', warm);
    for (let repetition = 1; repetition <= repeat; repetition += 1) {
      session.signal.throwIfAborted();
      log(`${repetition} of ${repeat}: single payments and SQL`);
      await measureOthers();
      log(`${repetition} of ${repeat}: a batch of ${rows.toLocaleString('en')} rows, and the same file again`);
      const file = fileOf(`run-${repetition}`, rows);
      // Batches give way to the single payments for a while after the last of them.
      await sleep(GIVEN_WAY_MS, undefined, { signal: session.signal });
      const { databaseUrl } = session.servers.database;
      const before = await asAuditor(databaseUrl, (auditor) => lookBefore(auditor, createPayment, [payer.companyId]));
      const first = await run(`batch-${repetition}`, file);
      const again = await run(`again-${repetition}`, file);
      batches.push(first.run);
      replays.push(again.run);
      violations.push(
        ...notAll(first.batch, 'succeeded'),
        ...notAll(again.batch, 'replayed'),
        ...violationsIn(
          await asAuditor(databaseUrl, (auditor) =>
            check(auditor, createPayment, sentKeys(payer.companyId, file), before),
          ),
        ),
        ...(await unbalanced(client)),
      );
    }
    log('Single payments and SQL once more');
    await measureOthers();
  } finally {
    await client.close().catch(() => undefined);
    await worker.stop();
  }
  const result = {
    options,
    batches,
    replays,
    lane: medianSegment(lane),
    sql: sql.map(({ concurrency, segments }) => ({ concurrency, segment: medianSegment(segments) })),
    violations,
  };
  return { ...result, ratios: ratiosOf(result) };
}

async function runBatch(
  client: BatchClient,
  pids: Readonly<Record<string, number>>,
  key: string,
  file: PaymentsFile,
  progress: Progress,
): Promise<{ readonly run: BatchRun; readonly batch: BatchResource }> {
  const before = cpuOf(pids);
  const sentAtMs = performance.now();
  await client.send(key, file);
  const uploadSeconds = (performance.now() - sentAtMs) / 1_000;
  const batch = await client.over(key, (seen) => progress.update(lineOf(seen)));
  const after = cpuOf(pids);
  progress.done(lineOf(batch));
  const { createdAt, startedAt, completedAt } = batch;
  // Points in time of the server alone: the batch was made when the upload began.
  const secondsFrom = (from: string | null) => (Date.parse(completedAt ?? '') - Date.parse(from ?? '')) / 1_000;
  return {
    batch,
    run: {
      rows: file.rows,
      bytes: file.bytes,
      uploadSeconds,
      writingSeconds: secondsFrom(startedAt),
      seconds: secondsFrom(createdAt),
      cpuMs:
        before &&
        after &&
        Object.fromEntries(
          Object.keys(pids).map((name) => [name, ((after[name] ?? 0) - (before[name] ?? 0)) / file.rows]),
        ),
    },
  };
}

function lineOf({ key, rows, counts, rowsPerSecond, eta, state }: BatchResource): string {
  const done = (rows ?? 0) - counts.pending;
  const pace =
    state === 'running' && rowsPerSecond !== null ? `, ${Math.round(rowsPerSecond)} rows/s, until ${eta}` : '';
  return `  ${key}: ${state}, ${done.toLocaleString('en')} of ${(rows ?? 0).toLocaleString('en')} rows${pace}`;
}

function sentKeys(companyId: string, file: PaymentsFile) {
  return file.keys().map((key) => ({ companyId, key, acknowledged: true }));
}

function notAll({ key, rows, counts, state }: BatchResource, outcome: 'succeeded' | 'replayed'): string[] {
  if (state === 'completed' && counts[outcome] === rows) return [];
  return [
    `the batch ${key} is ${state}, and of ${rows} rows ${counts[outcome]} are ${outcome}: ${JSON.stringify(counts)}`,
  ];
}

async function unbalanced(client: BatchClient): Promise<string[]> {
  const off = (await client.totals()).filter(({ debit, credit }) => String(debit) !== String(credit));
  return off.map((total) => `the trial balance is off: ${JSON.stringify(total)}`);
}

export function rowsPerSecond(runs: readonly BatchRun[], of: 'seconds' | 'writingSeconds'): number {
  return median(runs.map((run) => run.rows / run[of]));
}

function ratiosOf({ batches, lane, sql }: Pick<BatchResult, 'batches' | 'lane' | 'sql'>): Record<string, number> {
  const rate = rowsPerSecond(batches, 'seconds');
  return Object.fromEntries([
    [`batch ÷ write lane, c=${LANE_CLIENTS}`, rate / lane.perSecond],
    ...sql.map(({ concurrency, segment }) => [`batch ÷ SQL alone, c=${concurrency}`, rate / segment.perSecond]),
  ]);
}
