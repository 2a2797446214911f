import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { ApiClient } from './client.ts';
import type { Company } from './companies.ts';
import { paymentBody } from './effects.ts';

/** Clients that pay and, now and then, send their last payment again, with no second try but what a busy machine needs. */
export type SwitchingLoad = {
  /** How many answers there were so far. */
  readonly answers: number;
  /** No more requests; what came of them all. */
  stop(): Promise<LoadReport>;
};

export type LoadReport = {
  readonly sent: number;
  readonly first: number;
  readonly replayed: number;
  /** Each answer that was neither a success nor its replay, as status and code, or the error of the connection. */
  readonly failed: readonly string[];
  /** Those of them that were told to send it again (503), or later (202). */
  readonly refused: readonly { readonly key: string; readonly body: ReturnType<typeof paymentBody> }[];
  readonly acknowledged: readonly string[];
};

export type LoadOptions = {
  readonly clients: number;
  readonly waitSeconds: number;
  /** Between a client's requests. */
  readonly pauseMs: number;
};

/** Every so many requests, the last payment is sent again. */
const REPLAY_EVERY = 4;
const BUSY_PAUSE_MS = 250;

export async function startSwitchingLoad(
  company: Company,
  url: string,
  { clients, waitSeconds, pauseMs }: LoadOptions,
): Promise<SwitchingLoad> {
  const api = company.as('owner', url);
  const report: Counting = { sent: 0, first: 0, replayed: 0, failed: [], refused: [], acknowledged: [] };
  let stopped = false;
  const loops: Promise<void>[] = [];
  for (let client = 0; client < clients; client += 1) {
    const invoiceId = await company.invoice({ total: 1_000_000 });
    loops.push(loop(api, invoiceId, { prefer: `wait=${waitSeconds}`, pauseMs }, report, () => stopped));
  }
  return {
    get answers() {
      return report.first + report.replayed + report.failed.length;
    },
    async stop() {
      stopped = true;
      await Promise.all(loops);
      return report;
    },
  };
}

type Counting = {
  -readonly [Name in keyof LoadReport]: LoadReport[Name] extends readonly (infer Item)[] ? Item[] : number;
};

async function loop(
  api: ApiClient,
  invoiceId: string,
  { prefer, pauseMs }: { readonly prefer: string; readonly pauseMs: number },
  report: Counting,
  isOver: () => boolean,
): Promise<void> {
  let last: { key: string; text: string } | undefined;
  for (let turn = 1; !isOver(); turn += 1) {
    const again = turn % REPLAY_EVERY === 0 ? last : undefined;
    const key = again?.key ?? randomUUID();
    const body = paymentBody(invoiceId, 1);
    report.sent += 1;
    await sleep(pauseMs);
    try {
      const send = () => api.post('/api/payments', body, { key, headers: { prefer } });
      let answer = await send();
      // A look-up that came too late tells of a busy machine, and nothing of the switch.
      while (answer.json?.code === 'storage_unavailable' && !isOver()) {
        await sleep(BUSY_PAUSE_MS);
        answer = await send();
      }
      if (answer.status !== 201) {
        report.failed.push(`${answer.status} ${answer.text.slice(0, 200)}`);
        if (answer.status === 503 || answer.status === 202) report.refused.push({ key, body });
      } else if (again !== undefined) {
        if (answer.replayed && answer.text === again.text) report.replayed += 1;
        else report.failed.push('not a replay of what was answered');
      } else {
        report.first += 1;
        report.acknowledged.push(key);
        last = { key, text: answer.text };
      }
    } catch (error) {
      report.failed.push(String(error));
    }
  }
}

/** What the database holds of the load, to be compared with what was answered. */
export async function countPayments(owner: pg.Pool, companyId: string, keys: readonly string[]) {
  const { rows } = await owner.query(
    `SELECT count(*) FILTER (WHERE w.idempotency_key = ANY ($2))::int AS acknowledged,
       count(*)::int AS payments, count(DISTINCT w.idempotency_key)::int AS keys,
       count(e.id)::int AS entries, count(o.id)::int AS events
     FROM payments p
     JOIN idempotent_writes w ON w.company_id = p.company_id AND w.write_id = p.id
     LEFT JOIN journal_entries e ON e.company_id = p.company_id AND e.write_id = p.id
     LEFT JOIN outbox o ON o.company_id = p.company_id AND o.write_id = p.id
     WHERE p.company_id = $1`,
    [companyId, keys],
  );
  return rows[0] as { acknowledged: number; payments: number; keys: number; entries: number; events: number };
}
