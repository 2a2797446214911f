import type { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import type { ReadGroup } from './readers.ts';

/**
 * A route that reads, in one transaction. Routes, roles, 404s and OpenAPI are derived from the list of these
 * (`read-list.ts`).
 */
export type Read = {
  /** With `:name` for each member of `params`. */
  readonly path: `/api/${string}`;
  readonly summary: string;
  /** Who may read it; see READERS. */
  readonly group: ReadGroup;
  /** The resource that the answer is, or holds a page of; a report is computed and has no ID. */
  readonly answers: { readonly kind: 'one' | 'list' | 'report'; readonly resource: string };
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  read(tx: Tx, input: ReadInput, reader: Reader): Promise<object>;
};

export type ReadInput = { readonly params: Record<string, unknown>; readonly query: Record<string, unknown> };

/** A member of the company that the transaction works for. */
export type Reader = {
  readonly companyId: string;
  readonly userId: string;
  readonly roles: readonly string[];
};

/** Types `read` by the schemas that stand beside it. */
export function defineRead<P extends z.ZodObject, Q extends z.ZodObject>(
  read: Omit<Read, 'params' | 'query' | 'read'> & {
    readonly params: P;
    readonly query: Q;
    read(tx: Tx, input: { readonly params: z.output<P>; readonly query: z.output<Q> }, reader: Reader): Promise<object>;
  },
): Read {
  // The input is parsed by `params` and `query` before `read` sees it: register.ts is the only way in.
  return read as unknown as Read;
}
