import type { FastifyInstance, FastifyRequest } from 'fastify';
import { holdsOneOf } from '../../activities/roles.ts';
import type { SealedLog } from '../../activities/seal/content.ts';
import { isArchived, type ProvenRow, type Proving, proveAuditRow, proveEntry } from '../../activities/seal/prove.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import type { ApiContext } from '../context.ts';
import { ApiProblem } from '../http/problems.ts';
import { enforceRateLimit } from '../http/rate-limit.ts';
import { eventOf } from '../reads/confidential.ts';
import { PAYROLL_OPERATIONS } from '../reads/payroll-entries.ts';
import type { Reader } from '../reads/read.ts';
import { inReadTransaction } from '../reads/read-transaction.ts';
import { READERS } from '../reads/readers.ts';
import { sourceOf } from '../security/refusals.ts';
import type { WriteResource } from './resource.ts';
import { keyOf, readWrite, writeNotFound } from './status.ts';

/** `GET /api/writes/{key}/proof`: that the write is in the books, to be checked by anyone, without us and without other rows. */

type WriteProof = {
  readonly companyId: string;
  readonly key: string;
  readonly writeId: string | null;
  readonly rows: readonly ProvenRow[];
  readonly missing: readonly MissingRow[];
};

/** A row of the write of which there is no proof here. */
type MissingRow = { readonly log: SealedLog; readonly reason: MissingReason };

/**
 * `archived`: its month of the audit log has left the database. `erased`: it came back from the archive after a person was erased. `not_permitted`: those who may read the write, but not its entry.
 * `absent`, `altered`: something has changed the books behind our back; the operator's log has it.
 */
export const MISSING_REASONS = ['archived', 'erased', 'not_permitted', 'absent', 'altered'] as const;
type MissingReason = (typeof MISSING_REASONS)[number];

const PROOF_LIMIT_MS = 5_000;

export function registerWriteProof(app: FastifyInstance, context: ApiContext): void {
  app.get<{ Params: { key: string } }>('/api/writes/:key/proof', async (request, reply) => {
    enforceRateLimit(context.replays, request.caller);
    const key = keyOf(request.params.key);
    const write = await readWrite(context, request.caller, key);
    if (write === undefined) throw writeNotFound(key);
    requireOutcome(write);
    const { database } = context;
    const proof = await inReadTransaction(
      { database, caller: request.caller, idempotencyKey: key, limitMs: PROOF_LIMIT_MS },
      async (tx, reader, { row }) => {
        if (row === undefined) throw writeNotFound(key);
        const entry = row.write_id === null ? undefined : await proveEntry(tx, row.write_id);
        const audit = (await proveAuditRow(tx, outcomeOf(row))) ?? {
          state: (await isArchived(tx, row.completed_at)) ? ('archived' as const) : ('absent' as const),
        };
        return proofOf(row, [
          {
            log: 'journal',
            found: mayReadEntry(row, reader) || entry === undefined ? entry : { state: 'not_permitted' },
          },
          { log: 'audit', found: audit },
        ]);
      },
    );
    tellOfIt(request, context, proof, write);
    return reply.send(proof);
  });
}

type Part = {
  readonly log: SealedLog;
  readonly found: Proving | { readonly state: 'archived' | 'absent' | 'not_permitted' } | undefined;
};

const HAS_OUTCOME: ReadonlySet<WriteResource['state']> = new Set(['succeeded', 'rejected', 'cancelled']);

function requireOutcome({ key, state }: WriteResource): void {
  if (HAS_OUTCOME.has(state)) return;
  throw notReady(key, `The write has no outcome yet: its state is ${state}.`, SOON_S);
}

/** A row is sealed within seconds; a head is published at most once an hour. */
const SOON_S = 2;
const LATER_S = 60;

const ROW_NAMES: Readonly<Record<SealedLog, string>> = { journal: 'entry', audit: 'row of the audit log' };

function proofOf(row: WriteRow, parts: readonly Part[]): WriteProof {
  const rows: ProvenRow[] = [];
  const missing: MissingRow[] = [];
  for (const { log, found } of parts) {
    if (found === undefined) continue;
    if (found.state === 'unsealed') {
      throw notReady(row.idempotency_key, `The ${ROW_NAMES[log]} of the write is not sealed yet.`, SOON_S);
    }
    if (found.state === 'unpublished') {
      const detail = `The ${ROW_NAMES[log]} of the write is sealed, and no published head covers it yet.`;
      throw notReady(row.idempotency_key, `${detail} Heads are published at most once an hour.`, LATER_S);
    }
    if (found.state === 'proven') rows.push(found.row);
    else missing.push({ log, reason: found.state });
  }
  return { companyId: row.company_id, key: row.idempotency_key, writeId: row.write_id, rows, missing };
}

function notReady(idempotencyKey: string, detail: string, retryAfterS: number): ApiProblem {
  return new ApiProblem('proof_not_ready', {
    detail,
    idempotencyKey,
    headers: { 'retry-after': String(retryAfterS) },
  });
}

function outcomeOf({ idempotency_key: key, request_id, completed_at, outcome, response_body }: WriteRow) {
  const { code } = outcome === 'succeeded' ? { code: undefined } : (JSON.parse(response_body.toString()) as Refusal);
  return { key, requestId: request_id, completedAt: completed_at, errorCode: code };
}

type Refusal = { readonly code: string };

/** As where entries are read. */
function mayReadEntry({ operation }: WriteRow, { roles }: Reader): boolean {
  const isPayroll = operation !== null && PAYROLL_OPERATIONS.includes(operation);
  return holdsOneOf(roles, READERS[isPayroll ? 'payroll' : 'ledger']);
}

/** The security log tells who has read what somebody is paid; ours, of rows that something has changed. */
function tellOfIt(
  request: FastifyRequest,
  context: ApiContext,
  { key, writeId, rows, missing }: WriteProof,
  write: WriteResource,
): void {
  const isPay = PAYROLL_OPERATIONS.includes(write.operation ?? '') && rows.some(({ log }) => log === 'journal');
  if (isPay) {
    context.security.record({
      event: eventOf('payroll'),
      reason: 'write',
      ...request.caller,
      ...sourceOf(request),
      details: { key },
    });
  }
  const changed = missing.filter(({ reason }) => reason === 'absent' || reason === 'altered');
  if (changed.length > 0) request.log.error({ writeId, rows: changed }, 'A row of a write is not what was sealed');
}
