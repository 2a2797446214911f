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

export function entryContent(entry: SealedEntry, salt: Salt): string {
  const { description, metadata, request, answer, lines, ...plain } = entry;
  return canonicalJson({
    version: VERSION,
    log: 'journal',
    ...plain,
    ...saltedMembers({ description, metadata, request, answer }, salt),
    lines: lines.map(({ memo, ...line }, place) => ({ ...line, memo: salted(`lines.${place}.memo`, memo, salt) })),
  });
}

export function auditContent(row: SealedAuditRow, salt: Salt): string {
  const { errorMessage, metadata, request, answer, ...plain } = row;
  return canonicalJson({
    version: VERSION,
    log: 'audit',
    ...plain,
    ...saltedMembers({ errorMessage, metadata, request, answer }, salt),
  });
}

function saltedMembers(members: Readonly<Record<string, unknown>>, salt: Salt): Record<string, string | null> {
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [name, salted(name, value, salt)]));
}

/**
 * SHA-256 of the salt and the canonical JSON of `[name, value]`, in hexadecimal; null stays null. With erased salts it is what
 * was kept.
 */
function salted(name: string, value: unknown, salt: Salt): string | null {
  if (value === null) return null;
  if (!Buffer.isBuffer(salt)) return salt[name] ?? '';
  return hash('sha256', Buffer.concat([salt, Buffer.from(canonicalJson([name, value]))]), 'hex');
}

export function canonicalJson(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new Error('Bug! Content without canonical JSON');
  return text;
}
