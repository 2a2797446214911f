import type { BatchAction } from '../../api/batches/control.ts';
import type { BatchResource } from '../../api/batches/resource.ts';
import type { Validation } from '../../api/batches/validate.ts';
import { segment } from '../client/src/http.ts';
import { formatKey } from '../client/src/keys.ts';
import type { Asker, Reply } from './ask.ts';
import { Refused } from './ends.ts';
import type { Upload } from './upload.ts';

type BatchPage = { readonly items: readonly BatchResource[]; readonly nextCursor: string | null };
export type ResultFormat = 'ndjson' | 'csv';
export type ListQuery = { readonly state?: string; readonly operation?: string; readonly limit?: number };

/** The routes of batches. Each throws what {@link Asker.ask} throws. */
export type BatchApi = {
  /** Undefined if there is none. `waitS`: for how long the API may wait for the batch to be over. */
  find(batchKey: string, waitS?: number): Promise<BatchResource | undefined>;
  /** `operation`: of the rows that name none. */
  upload(upload: Upload, batchKey: string, operation: string | undefined): Promise<BatchResource>;
  validate(upload: Upload, operation: string | undefined): Promise<Validation>;
  control(batchKey: string, action: BatchAction): Promise<BatchResource>;
  list(query: ListQuery): Promise<BatchPage>;
  /** The results as text, page by page. */
  results(batchKey: string, format: ResultFormat): AsyncGenerator<string>;
};

export function createBatchApi({ ask }: Asker): BatchApi {
  const at = (batchKey: string) => `/api/batches/${segment(batchKey)}`;
  const send = (upload: Upload, query: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>>) =>
    ask({
      method: 'POST',
      path: `/api/batches${queryOf(query)}`,
      headers: { ...headers, 'content-type': upload.contentType },
      body: upload.read,
    });
  return {
    async find(batchKey, waitS = 0) {
      try {
        return parse<BatchResource>(
          await ask({ method: 'GET', path: at(batchKey), headers: { prefer: `wait=${waitS}` } }),
        );
      } catch (error) {
        if (error instanceof Refused && error.problem?.code === 'batch_not_found') return undefined;
        throw error;
      }
    },
    async upload(upload, batchKey, operation) {
      const query = operation === undefined ? {} : { operation };
      return parse(await send(upload, query, { 'idempotency-key': formatKey(batchKey) }));
    },
    async validate(upload, operation) {
      return parse(await send(upload, { ...(operation && { operation }), validateOnly: 'true' }, {}));
    },
    async control(batchKey, action) {
      return parse(await ask({ method: 'POST', path: `${at(batchKey)}/${action}` }));
    },
    async list({ state, operation, limit }) {
      const query = {
        ...(state && { state }),
        ...(operation && { operation }),
        ...(limit && { limit: String(limit) }),
      };
      return parse(await ask({ method: 'GET', path: `/api/batches${queryOf(query)}` }));
    },
    async *results(batchKey, format) {
      const headers = { accept: format === 'csv' ? 'text/csv' : 'application/x-ndjson' };
      const answer = format === 'csv' ? /^text\/csv\b/ : /^application\/x-ndjson\b/;
      let path: string | undefined = `${at(batchKey)}/results`;
      while (path !== undefined) {
        const { text, link }: Reply = await ask({ method: 'GET', path, headers, answer });
        yield text;
        path = /<([^>]+)>; rel="next"/.exec(link ?? '')?.[1];
      }
    },
  };
}

function queryOf(members: Readonly<Record<string, string>>): string {
  const query = new URLSearchParams(members).toString();
  return query === '' ? '' : `?${query}`;
}

function parse<T>({ text }: Reply): T {
  return JSON.parse(text) as T;
}
