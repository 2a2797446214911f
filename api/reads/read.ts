import type { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import type { Cursors } from './cursor.ts';
import type { ReadGroup } from './readers.ts';

/**
 * A route that reads, in one transaction. Routes, roles, 404s and OpenAPI are derived from the list of these
 * (`read-list.ts`).
 */
export type Read = {
  /** Has a `:name` for each member of `params`. */
  readonly path: `/api/${string}`;
  readonly summary: string;
  /** Who may read it; see READERS. */
  readonly group: ReadGroup;
  /** The resource that the read returns, or returns a page of. A report is computed and has no ID. */
  readonly answers: { readonly kind: 'one' | 'list' | 'report'; readonly resource: string };
  /**
   * What makes the read confidential: the security log tells who read it. `entries`: pay, if entries of payroll are among
   * them. What says only how a business stands needs no row.
   */
  readonly shows?: 'payroll' | 'personal data' | 'entries';
  /** In the place of `shows`, where that depends on what is among the answer. */
  showsIn?(answer: object): readonly ('payroll' | 'personal data' | undefined)[];
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  read(tx: Tx, input: ReadInput, reader: ListReader): Promise<object>;
};

export type ReadInput = { readonly params: Record<string, unknown>; readonly query: Record<string, unknown> };

/** The caller, as a member of the company that the transaction is set to. */
export type Reader = {
  readonly companyId: string;
  readonly userId: string;
  readonly roles: readonly string[];
};

/** And what makes and reads the cursors of the lists. */
export type ListReader = Reader & { readonly cursors: Cursors };

/** Types `read` by the schemas of `params` and `query`. */
export function defineRead<P extends z.ZodObject, Q extends z.ZodObject>(
  read: Omit<Read, 'params' | 'query' | 'read'> & {
    readonly params: P;
    readonly query: Q;
    read(
      tx: Tx,
      input: { readonly params: z.output<P>; readonly query: z.output<Q> },
      reader: ListReader,
    ): Promise<object>;
  },
): Read {
  // Only register.ts calls `read`, with an input that it has parsed with `params` and `query`.
  return read as unknown as Read;
}
