import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { openDatabase } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { type RunningBatches, startBatches } from '../../worker/batches/start-batches.ts';
import { loadWorkflowBundle } from '../../worker/bundle.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { createFence } from '../../worker/fence.ts';
import { createMetrics, type Metrics } from '../../worker/metrics.ts';
import type { Company } from './companies.ts';
import type { System } from './system.ts';

/** The worker of batches as the worker process runs it, beside the system's API. */
export async function startBatchWorker(
  system: System,
  operations: readonly Operation[] = OPERATIONS,
): Promise<Pick<RunningBatches, 'close'> & { readonly metrics: Metrics }> {
  const config = readWorkerConfig(system.environment);
  const connection = await NativeConnection.connect({ address: config.TEMPORAL_ADDRESS });
  const database = openDatabase({
    connectionString: config.DATABASE_URL,
    writePoolMax: 1,
    readPoolMax: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'test-batches',
  });
  const logger = pino({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' });
  const metrics = createMetrics({ database, operations });
  const workflowBundle = await loadWorkflowBundle(config);
  const fence = await createFence(database.reads, logger);
  const shared = { config, connection, workflowBundle, database, fence, operations, metrics, logger };
  const batches = await startBatches(shared);
  return {
    metrics,
    async close() {
      await batches.close();
      fence.close();
      await connection.close();
      await database.close();
    },
  };
}

/** What an answer of the routes of batches holds. */
export type BatchAnswer = {
  readonly status: number;
  readonly replayed: boolean;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever member they are about.
  readonly json: any;
};

export type Sending = {
  readonly key?: string;
  readonly operation?: string;
  readonly validateOnly?: boolean;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** Sends files as the owner of a company. */
export function batchClient({ url }: { readonly url: string }, company: Company, token = company.users.owner.token) {
  async function call(path: string, init: RequestInit = {}): Promise<BatchAnswer> {
    const response = await fetch(`${url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, ...(init.headers as Record<string, string>) },
    });
    const text = await response.text();
    const isJson =
      /json/.test(response.headers.get('content-type') ?? '') &&
      !/ndjson/.test(response.headers.get('content-type') ?? '');
    const json = isJson ? JSON.parse(text) : undefined;
    const replayed = response.headers.get('idempotent-replayed') === 'true';
    return { status: response.status, replayed, headers: response.headers, text, json };
  }
  const at = (key: string) => `/api/batches/${encodeURIComponent(key)}`;
  return {
    call,
    send(
      file: string | Uint8Array | ReadableStream<Uint8Array>,
      { key, operation, validateOnly, type, headers }: Sending = {},
    ) {
      const query = new URLSearchParams({
        ...(operation === undefined ? {} : { operation }),
        ...(validateOnly === undefined ? {} : { validateOnly: String(validateOnly) }),
      });
      return call(`/api/batches?${query.toString()}`, {
        method: 'POST',
        body: file as NonNullable<RequestInit['body']>,
        ...({ duplex: 'half' } as object),
        headers: {
          'content-type': type ?? 'application/x-ndjson',
          ...(key === undefined ? {} : { 'idempotency-key': key }),
          ...headers,
        },
      });
    },
    status: (key: string, headers: Readonly<Record<string, string>> = {}) => call(at(key), { headers }),
    control: (key: string, action: string) => call(`${at(key)}/${action}`, { method: 'POST' }),
    /** Waits until the batch is completed or cancelled. */
    async over(key: string): Promise<BatchAnswer> {
      for (;;) {
        const answer = await call(at(key), { headers: { prefer: 'wait=10' } });
        if (answer.status !== 200 || answer.json.completedAt !== null) return answer;
      }
    },
    /** All results, page by page. */
    async results(key: string, limit = 1_000) {
      // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever member they are about.
      const rows: any[] = [];
      let path: string | undefined = `${at(key)}/results?limit=${limit}`;
      while (path !== undefined) {
        const answer = await call(path);
        if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
        for (const line of answer.text.split('\n').filter(Boolean)) rows.push(JSON.parse(line));
        path = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
      }
      return rows;
    },
  };
}

export function ndjson(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}
