import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { withDatabase } from '../../../cli/command.ts';
import { median } from '../../../cli/latencies.ts';
import { measureApi } from '../run.ts';
import type { Segment } from '../segment.ts';
import type { Session } from '../session.ts';
import { startWorkerProcess } from '../worker-process.ts';
import { type BatchClient, openBatchClient } from './client.ts';
import { paymentsFile } from './file.ts';

export type BesideOptions = { readonly rows: number; readonly seconds: number; readonly repeat: number };

const COMPANIES = ['same', 'another'] as const;
const CLIENTS = [4, 32] as const;

/** What writes that somebody waits for feel of a batch. */
export type BesideResult = {
  readonly options: BesideOptions;
  readonly cases: readonly BesideCase[];
  readonly violations: readonly string[];
};

type BesideCase = {
  /** Whose writes: of the batch's company, or of another. */
  readonly company: (typeof COMPANIES)[number];
  readonly clients: number;
  readonly pairs: readonly { readonly without: Segment; readonly during: Segment; readonly rowsPerSecond: number }[];
  /** The median of the pairs, during ÷ without. */
  readonly p95: number;
};

/** Faster than any batch yet, so that one that has so many rows for a second does not end within it. */
const MOST_ROWS_PER_SECOND = 6_000;
/** Before each window, to warm up, and until clients and batch have begun. */
const SLACK_SECONDS = 3;
const LOOK_EVERY_MS = 50;

/**
 * Measures single payments without and during a batch, in turn: the batch is paused and resumed, so that whatever else changes on
 * the machine affects both. The payments are of other invoices than the rows.
 */
export async function measureBeside(
  session: Session,
  options: BesideOptions,
  log: (line: string) => void,
): Promise<BesideResult> {
  const { seconds, repeat } = options;
  const [payer, other] = session.payers;
  const apis = await session.apis('on');
  const [api] = apis;
  if (payer === undefined || other === undefined || api === undefined)
    throw new Error('Bug! The session lacks a company');
  const interactive = payer.invoiceIds.slice(0, Math.max(...CLIENTS) * 2);
  const payers = { same: { ...payer, invoiceIds: interactive }, another: other };
  const worker = await startWorkerProcess(session);
  const client = openBatchClient(api.url, payer.token, session.signal);
  const violations: string[] = [];
  const cases: BesideCase[] = [];
  try {
    await withDatabase(session.servers.database.databaseUrl, async (owner) => {
      const batch = turnedOnAndOff(client, owner, {
        ...options,
        invoiceIds: payer.invoiceIds.slice(interactive.length),
        needed: Math.ceil((seconds + SLACK_SECONDS) * MOST_ROWS_PER_SECOND),
      });
      const pay = async (company: BesideCase['company'], clients: number) => {
        session.signal.throwIfAborted();
        const load = { mode: 'new', concurrency: clients, rate: undefined, seconds } as const;
        const measured = await measureApi({ ...session, payers: [payers[company]] }, apis, load);
        violations.push(...measured.violations);
        return measured.segment;
      };
      log('Warming up');
      await batch.on();
      await pay('same', Math.max(...CLIENTS));
      await batch.off();
      for (const company of COMPANIES) {
        for (const clients of CLIENTS) {
          const pairs: BesideCase['pairs'][number][] = [];
          for (let pair = 1; pair <= repeat; pair += 1) {
            log(
              `${clients} clients of ${company === 'same' ? 'the same' : 'another'} company, without and during: ${pair} of ${repeat}`,
            );
            const without = await pay(company, clients);
            const before = await batch.on();
            const sinceMs = performance.now();
            const during = await pay(company, clients);
            const after = await batch.off();
            if (after.isOver)
              violations.push(`the batch was over before the payments: give more than ${options.rows} --rows`);
            const rowsPerSecond = ((before.pending - after.pending) * 1_000) / (performance.now() - sinceMs);
            pairs.push({ without, during, rowsPerSecond });
          }
          cases.push({
            company,
            clients,
            pairs,
            p95: median(pairs.map(({ without, during }) => during.p95Ms / without.p95Ms)),
          });
        }
      }
      await batch.end();
    });
  } finally {
    await client.close().catch(() => undefined);
    await worker.stop();
  }
  return { options, cases, violations };
}

/** A batch that is written at times. Where too little of it is left, another takes its place. */
function turnedOnAndOff(
  client: BatchClient,
  owner: pg.Client,
  options: { readonly invoiceIds: readonly string[]; readonly rows: number; readonly needed: number },
) {
  const { invoiceIds, rows, needed } = options;
  let files = 0;
  let key: string | undefined;

  /** No chunk of a paused batch is still being written. */
  async function untilQuiet(): Promise<void> {
    for (;;) {
      const { rows: found } = await owner.query(
        'SELECT FROM batch_chunks WHERE pending > 0 AND claimed_run IS NOT NULL LIMIT 1',
      );
      if (found.length === 0) return;
      await sleep(LOOK_EVERY_MS);
    }
  }

  async function end(): Promise<void> {
    if (key === undefined) return;
    const { state } = await client.read(key);
    if (state === 'paused' || state === 'running') await client.control(key, 'cancel');
    await untilQuiet();
    key = undefined;
  }

  return {
    end,
    /** Returns how many rows are pending once the batch is being written. */
    async on(): Promise<{ readonly pending: number }> {
      if (key !== undefined && (await client.read(key)).counts.pending < needed) await end();
      if (key === undefined) {
        files += 1;
        key = `beside-${files}`;
        await client.send(key, paymentsFile({ invoiceIds, rows: Math.max(rows, needed), mark: key }));
      } else await client.control(key, 'resume');
      for (;;) {
        const { counts, state } = await client.read(key);
        if (state !== 'queued') return { pending: counts.pending };
        await sleep(LOOK_EVERY_MS);
      }
    },
    async off(): Promise<{ readonly pending: number; readonly isOver: boolean }> {
      if (key === undefined) throw new Error('Bug! There is no batch to pause');
      const { state, counts } = await client.read(key);
      if (state === 'completed') {
        key = undefined;
        return { pending: 0, isOver: true };
      }
      await client.control(key, 'pause');
      await untilQuiet();
      return { pending: counts.pending, isOver: false };
    },
  };
}
