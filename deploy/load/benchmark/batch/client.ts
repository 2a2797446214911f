import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import type { BatchResource } from '../../../../api/batches/resource.ts';
import type { PaymentsFile } from './file.ts';

/** Sends files of payments and asks for their batches. Each rejects for an answer that is no success. */
export type BatchClient = {
  send(key: string, file: PaymentsFile): Promise<BatchResource>;
  read(key: string): Promise<BatchResource>;
  control(key: string, action: 'pause' | 'resume' | 'cancel'): Promise<BatchResource>;
  /** Waits until the batch is over. */
  over(key: string, onLook?: (batch: BatchResource) => void): Promise<BatchResource>;
  /** Sums of the ledger, in minor units by currency. */
  totals(): Promise<readonly { readonly currency: string; readonly debit: number; readonly credit: number }[]>;
  close(): Promise<void>;
};

/** Rarely, since each look costs what is measured. */
const LOOK_EVERY_MS = 1_000;

export function openBatchClient(url: string, token: string, signal: AbortSignal): BatchClient {
  const pool = new Pool(url, { connections: 2, headersTimeout: 0, bodyTimeout: 0 });
  async function call<T>(method: 'GET' | 'POST', path: string, options: Sent = {}): Promise<T> {
    const answer = await pool.request({
      method,
      path,
      headers: { authorization: `Bearer ${token}`, ...options.headers },
      body: options.body ?? null,
      signal,
    });
    const text = await answer.body.text();
    if (answer.statusCode > 299) throw new Error(`${method} ${path} was answered ${answer.statusCode} ${text}`);
    return JSON.parse(text) as T;
  }
  const at = (key: string) => `/api/batches/${encodeURIComponent(key)}`;
  return {
    send: (key, file) =>
      call('POST', '/api/batches?operation=createPayment', {
        headers: { 'idempotency-key': key, 'content-type': 'application/x-ndjson' },
        body: Readable.from(file.pieces(), { objectMode: false }),
      }),
    read: (key) => call('GET', at(key)),
    control: (key, action) => call('POST', `${at(key)}/${action}`),
    async over(key, onLook) {
      for (;;) {
        const batch = await call<BatchResource>('GET', at(key));
        onLook?.(batch);
        if (batch.completedAt !== null) return batch;
        await sleep(LOOK_EVERY_MS, undefined, { signal });
      }
    },
    async totals() {
      const { totals } = await call<{ totals: Awaited<ReturnType<BatchClient['totals']>> }>(
        'GET',
        '/api/ledger/trial-balance',
      );
      return totals;
    },
    close: () => pool.close(),
  };
}

type Sent = { readonly headers?: Readonly<Record<string, string>>; readonly body?: Readable };
