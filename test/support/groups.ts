import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { inject } from 'vitest';
import type { Answer } from './client.ts';
import type { Company } from './companies.ts';
import { until } from './held-invoice.ts';
import { untilFinal } from './persistent.ts';
import { startProxy, targetOf } from './proxy.ts';

/**
 * Writes travel in a group only when they wait for a start at the same moment. Here they surely do: the API reaches
 * Temporal through a proxy that is frozen until all of them are in its queue.
 */
export type Groups = {
  /** For the API whose writes are to travel together. */
  readonly environment: { readonly WRITE_GROUPING: 'on'; readonly TEMPORAL_ADDRESS: string };
  /**
   * Sends them so that all leave in one group, with one write of the helper's own; answers what `send` does. Of a storm
   * only `atLeast` so many need to wait for that: no start waits for Temporal as long as a busy machine takes for all of it.
   */
  together<T>(
    url: string,
    company: Company,
    send: () => Sent<T> | Promise<Sent<T>>,
    atLeast?: number,
  ): Promise<Sent<T>>;
  /**
   * Resolves when the helper's own writes through that API have their final answers, too: one that is still on its way may
   * be committed later than those of the test, and then be missing in a copy that the test takes for complete.
   */
  untilOthersEnded(url: string): Promise<void>;
  freeze(): void;
  open(): void;
  close(): Promise<void>;
};

type Sent<T> = readonly Promise<T>[];

/** Longer than a start counts as under way for want of an outcome (OUTCOME_LIMIT_MS of the dispatch). */
const START_IS_OVER_MS = 300;

/** `temporalAddress`: of a server other than the one that all tests share. */
export async function startGroups(temporalAddress = inject('temporalAddress')): Promise<Groups> {
  const proxy = await startProxy(targetOf(temporalAddress));
  const others: { readonly url: string; send(): Promise<Answer> }[] = [];

  /** Others fill the starts that may be on their way at once, until one of them has to wait. */
  async function takeAllStarts(url: string, company: Company): Promise<void> {
    while ((await queued(url)) === 0) {
      const key = randomUUID();
      const send = () => company.as('owner', url).post('/api/customers', { name: 'One before' }, { key });
      others.push({ url, send });
      // A process that is killed in the test answers none of them.
      send().catch(() => undefined);
      await sleep(START_IS_OVER_MS);
    }
  }

  return {
    environment: { WRITE_GROUPING: 'on', TEMPORAL_ADDRESS: proxy.address },
    async together(url, company, send, atLeast) {
      proxy.freeze();
      try {
        await takeAllStarts(url, company);
        const sent = await send();
        await untilQueued(url, atLeast ?? sent.length);
        return sent;
      } finally {
        proxy.open();
      }
    },
    async untilOthersEnded(url) {
      const asked = others.filter((other) => other.url === url);
      await Promise.all(asked.map(({ send }) => untilFinal(send)));
      for (const other of asked) others.splice(others.indexOf(other), 1);
    },
    freeze: proxy.freeze,
    open: proxy.open,
    close: proxy.close,
  };
}

const queued = (url: string) => readGauge(url, 'write_starts_queued');

/** Until so many of the test's own writes are in the queue, beside the one of the helper. */
export async function untilQueued(url: string, count: number): Promise<void> {
  await until(`${count} of them in the queue`, async () => (await queued(url)) >= 1 + count);
}

/** A gauge without labels, from the process's page of metrics. */
export async function readGauge(url: string, name: string): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(page)?.[1]);
}

/** The workflow that carried the write, as its row tells. */
export async function carrierOf(
  owner: pg.Pool,
  company: Pick<Company, 'id'>,
  key: string,
): Promise<string | undefined> {
  const { rows } = await owner.query(
    'SELECT workflow_id FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = $2',
    [company.id, key],
  );
  return rows[0]?.workflow_id;
}
