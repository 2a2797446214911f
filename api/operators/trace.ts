import type { FastifyRequest } from 'fastify';
import type { Pool } from '../../activities/database.ts';
import { recordSecurityRows } from '../../activities/security/security-row.ts';
import { withStorageTimeout } from '../http/storage-timeout.ts';
import { rowOf } from '../security/flood-bound.ts';
import { sourceOf } from '../security/refusals.ts';

const RECORD_LIMIT_MS = 2_000;

/** What an operator reads of companies. */
export type OperatorRead = {
  readonly subject: string;
  readonly reason: 'companies_listed' | 'writes_listed' | 'write_read';
  /** Whose it is, if it is of one. */
  readonly companyId?: string;
  /** IDs, keys, and the names of parameters alone. */
  readonly details?: Readonly<Record<string, string | readonly string[]>>;
};

/**
 * Records what an operator is about to read, as a row of its own in the log of the company that it is about. Throws where that is
 * not possible: what leaves no trace is not read.
 */
export async function recordOperatorRead(reads: Pool, request: FastifyRequest, read: OperatorRead): Promise<void> {
  const row = rowOf({ event: 'operator_command', ...read, ...sourceOf(request) });
  await withStorageTimeout(recordSecurityRows(reads, [{ ...row, age_ms: 0 }]), RECORD_LIMIT_MS);
}
