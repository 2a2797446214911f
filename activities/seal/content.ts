import { hash } from 'node:crypto';
import canonicalize from 'canonicalize';

/**
 * The content of a sealed row: RFC 8785 canonical JSON of the whole row. Members that can tell of a person or a salary are in it
 * as salted digests, so that nobody guesses them from a proof, and so that they can be erased. docs/seal-format.md lists all.
 */

/** The logs that are sealed, each of each company by itself. */
export const SEALED_LOGS = ['journal', 'audit'] as const;
export type SealedLog = (typeof SEALED_LOGS)[number];

const VERSION = 1;
/** Of each row, in bytes. */
export const SALT_LENGTH = 16;

/** With what a row's members become digests: its salt, or the digests themselves, where the salt was erased. */
export type Salt = Buffer | Readonly<Record<string, string>>;

/** A journal entry as the database has it. Amounts are whole numbers in minor units, as text: JSON's numbers are too short. */
export type SealedEntry = {
  readonly companyId: string;
  readonly entryId: string;
  readonly writeId: string;
  readonly operation: string;
  readonly date: string;
  readonly description: string;
  readonly reverses: string | null;
  readonly metadata: unknown;
  /** RFC 3339 in UTC with six digits of a second. */
  readonly postedAt: string;
  readonly postedBy: string;
  readonly approvedBy: string | null;
  readonly requestId: string;
  /** The fingerprint of the request, and SHA-256 of the answer's bytes, in hexadecimal. */
  readonly request: string;
  readonly answer: string;
  readonly lines: readonly SealedLine[];
};

export type SealedLine = {
  readonly id: string;
  readonly lineNumber: number;
  readonly accountId: string;
  readonly accountCode: string;
  readonly accountType: string;
  readonly amount: string;
  readonly currency: string;
  readonly memo: string | null;
};

/** An audit row as the database has it. `request` and `answer` are of the write that a `new` row tells of, else null. */
export type SealedAuditRow = {
  readonly companyId: string;
  readonly id: string;
  readonly timestamp: string;
  readonly operation: string;
  readonly type: string;
  readonly writeId: string | null;
  readonly idempotencyKey: string;
  readonly userId: string;
  readonly status: string;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  /** As PostgreSQL writes it. */
  readonly executionDurationMs: string;
  readonly requestId: string;
  readonly routePath: string;
  readonly httpMethod: string;
  readonly workflowsTriggered: number;
  readonly sideEffectsExecuted: number;
  readonly metadata: unknown;
  readonly request: string | null;
  readonly answer: string | null;
};

/*
 * Members stand in the order of their names, so that `JSON.stringify` gives canonical JSON: RFC 8785 takes its numbers and strings
 * from there. That costs a tenth of sorting each object anew, and a test compares the two.
 */

export function entryContent(entry: SealedEntry, salt: Salt): string {
  return JSON.stringify({
    answer: salted('answer', entry.answer, salt),
    approvedBy: entry.approvedBy,
    companyId: entry.companyId,
    date: entry.date,
    description: salted('description', entry.description, salt),
    entryId: entry.entryId,
    lines: entry.lines.map((line, place) => ({
      accountCode: line.accountCode,
      accountId: line.accountId,
      accountType: line.accountType,
      amount: line.amount,
      currency: line.currency,
      id: line.id,
      lineNumber: line.lineNumber,
      memo: salted(`lines.${place}.memo`, line.memo, salt),
    })),
    log: 'journal',
    metadata: salted('metadata', entry.metadata, salt),
    operation: entry.operation,
    postedAt: entry.postedAt,
    postedBy: entry.postedBy,
    request: salted('request', entry.request, salt),
    requestId: entry.requestId,
    reverses: entry.reverses,
    version: VERSION,
    writeId: entry.writeId,
  });
}

export function auditContent(row: SealedAuditRow, salt: Salt): string {
  return JSON.stringify({
    answer: salted('answer', row.answer, salt),
    companyId: row.companyId,
    errorCode: row.errorCode,
    errorMessage: salted('errorMessage', row.errorMessage, salt),
    executionDurationMs: row.executionDurationMs,
    httpMethod: row.httpMethod,
    id: row.id,
    idempotencyKey: row.idempotencyKey,
    log: 'audit',
    metadata: salted('metadata', row.metadata, salt),
    operation: row.operation,
    request: salted('request', row.request, salt),
    requestId: row.requestId,
    routePath: row.routePath,
    sideEffectsExecuted: row.sideEffectsExecuted,
    status: row.status,
    timestamp: row.timestamp,
    type: row.type,
    userId: row.userId,
    version: VERSION,
    workflowsTriggered: row.workflowsTriggered,
    writeId: row.writeId,
  });
}

/**
 * SHA-256 of the salt and the canonical JSON of `[name, value]`, in hexadecimal; null stays null. With erased salts it is what
 * was kept.
 */
function salted(name: string, value: unknown, salt: Salt): string | null {
  if (value === null) return null;
  if (!Buffer.isBuffer(salt)) return salt[name] ?? '';
  const text = typeof value === 'string' ? JSON.stringify([name, value]) : canonicalJson([name, value]);
  return hash('sha256', Buffer.concat([salt, Buffer.from(text)]), 'hex');
}

export function canonicalJson(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new Error('Bug! Content without canonical JSON');
  return text;
}
