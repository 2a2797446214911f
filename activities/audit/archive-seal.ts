import { auditContent, type SealedAuditRow } from '../seal/content.ts';
import { leafOf } from '../seal/digests.ts';
import type { jwkOf } from '../seal/signing-key.ts';
import { ArchiveDiffers, type HeadAt } from './archived-heads.ts';

/**
 * The seal of an archived month, beside its rows: the number of each row, its leaf, and its salted members as digests, so that
 * whoever has the files alone computes each leaf from the row, and follows the chain from head to head. Salts stay in the database:
 * with them, texts and requests could be guessed, also of a person who was erased. docs/seal-format.md has the format.
 */
export type ArchiveSeal = {
  readonly version: 1;
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
  /** How many of the month's rows are sealed. */
  readonly rows: number;
  readonly parts: readonly ArchivedPart[];
  /** The public keys of its heads. */
  readonly keys: readonly ReturnType<typeof jwkOf>[];
};

/** Successive numbers of a company's audit log that rows of the month are among: from head to head, where there are heads. */
export type ArchivedPart = {
  readonly companyId: string;
  readonly first: number;
  readonly last: number;
  readonly before: HeadAt;
  readonly after: HeadAt;
};

/** A row, in the order of the rows' file. Without `number` it is not sealed. */
export type RowSeal = {
  readonly id: string;
  readonly company?: string;
  readonly number?: number;
  readonly leaf?: string;
  /** Digests by member. Without them, only the leaf is known: its write has been erased since. */
  readonly salted?: Readonly<Record<string, string>>;
};

/** A row of another month that stands between those of this one. They come first. */
export type NeighbourSeal = { readonly company: string; readonly number: number; readonly leaf: string };

/** As PostgreSQL wrote it: the members that its content is made of. */
type ArchivedRow = {
  readonly timestamp: string;
  readonly company_id: string;
  readonly operation_name: string;
  readonly operation_type: string;
  readonly deterministic_id: string | null;
  readonly idempotency_key: string;
  readonly user_id: string;
  readonly status: string;
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly execution_duration_ms: number;
  readonly request_id: string;
  readonly route_path: string;
  readonly http_method: string;
  readonly workflows_triggered: number;
  readonly side_effects_executed: number;
  readonly metadata: object;
};

/** Throws unless a line of the rows' file is what was sealed; its salted members are taken as the seal has them. */
export function requireRow(line: Buffer, seal: RowSeal): void {
  const row = JSON.parse(line.toString('utf8')) as ArchivedRow;
  const id = idOf(line);
  if (id !== seal.id) {
    throw new ArchiveDiffers(`row ${id} of company ${row.company_id} stands where ${nameOf(seal)}, was archived`);
  }
  const { salted, leaf } = seal;
  if (salted === undefined || leaf === undefined) return;
  if (leafOf(auditContent(sealedRow(id, row, salted), salted)).toString('hex') !== leaf) {
    throw new ArchiveDiffers(`${nameOf(seal)} is not what was sealed`);
  }
}

/** It comes first in each line, and may have more digits than a number of JavaScript. */
export function idOf(line: Buffer): string {
  const [, id] = /^\{"id": (\d+),/.exec(line.subarray(0, 40).toString('latin1')) ?? [];
  if (id === undefined)
    throw new ArchiveDiffers(`a line does not begin with the row's ID: ${line.toString('utf8', 0, 40)}`);
  return id;
}

export function nameOf({ id, company, number }: RowSeal): string {
  return number === undefined ? `row ${id}` : `row ${id}, number ${number} of the audit log of company ${company}`;
}

function sealedRow(id: string, row: ArchivedRow, salted: Readonly<Record<string, string>>): SealedAuditRow {
  return {
    companyId: row.company_id,
    id,
    timestamp: instantOf(row.timestamp),
    operation: row.operation_name,
    type: row.operation_type,
    writeId: row.deterministic_id,
    idempotencyKey: row.idempotency_key,
    userId: row.user_id,
    status: row.status,
    errorCode: row.error_code,
    errorMessage: row.error_message,
    executionDurationMs: shortestFloat(row.execution_duration_ms),
    requestId: row.request_id,
    routePath: row.route_path,
    httpMethod: row.http_method,
    workflowsTriggered: row.workflows_triggered,
    sideEffectsExecuted: row.side_effects_executed,
    metadata: Object.keys(row.metadata).length === 0 ? null : row.metadata,
    request: salted['request'] ?? null,
    answer: salted['answer'] ?? null,
  };
}

/** `2026-08-01T09:30:00.5+00:00`, as PostgreSQL writes it in JSON, with six digits of a second. */
function instantOf(timestamp: string): string {
  const [, seconds, fraction = ''] = /^(.{19})(?:\.(\d{1,6}))?\+00:00$/.exec(timestamp) ?? [];
  if (seconds === undefined) throw new ArchiveDiffers(`${timestamp} is not a time as it was archived`);
  return `${seconds}.${fraction.padEnd(6, '0')}Z`;
}

/** As PostgreSQL writes a double: with an exponent of at least two digits below 0.0001 and from 1e15 on. */
export function shortestFloat(value: number): string {
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-4 && size < 1e15)) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
}
