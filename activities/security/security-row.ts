import { type Pool, queryOnce, type Tx } from '../database.ts';

/** What the security log tells of. Published: readers of the log filter by these names. */
export const SECURITY_EVENTS = [
  'authentication_refused',
  'sign_ins_limited',
  'access_refused',
  'payroll_read',
  'personal_data_read',
  'secret_shown',
  'privilege_granted',
  'control_lowered',
  'approval_decided',
  'operator_command',
] as const;

export type SecurityEvent = (typeof SECURITY_EVENTS)[number];

/** Stands for the company where none is known: no company has this ID, so only operators read such rows. */
export const NO_COMPANY = '00000000-0000-0000-0000-000000000000';

/** A row that is written off the path of the request that it is about. Holds no secret, and of a person only IDs and an address. */
export type SecurityRow = {
  readonly event: SecurityEvent;
  /** Why, in a word: the code of a refusal, for example. At most 64 characters. */
  readonly reason: string;
  readonly company_id: string;
  readonly user_id: string | null;
  /** Of a verified token whose user is not known. */
  readonly subject: string | null;
  readonly ip: string | null;
  /** The operation, route or command; at most 255 characters. */
  readonly action: string | null;
  readonly request_id: string | null;
  /** More than 1: it stands for so many of its kind, of the last `counted_for_ms`. */
  readonly count: number;
  readonly counted_for_ms: number | null;
  /** How long ago it happened. */
  readonly age_ms: number;
  readonly details: Readonly<Record<string, unknown>>;
};

/** Writes rows of several companies in one round trip, each under its own company's row-level security. */
export async function recordSecurityRows(pool: Pool, rows: readonly SecurityRow[]): Promise<void> {
  await queryOnce(pool, 'SELECT record_security_rows($1)', [JSON.stringify(rows)]);
}

/** What a write does to who may do what, in its own transaction: granting power, or lowering a control. */
export type SecurityFact = {
  readonly event: Extract<SecurityEvent, 'privilege_granted' | 'control_lowered' | 'approval_decided'>;
  /** The role, or the setting. */
  readonly reason: string;
  readonly details: Readonly<Record<string, unknown>>;
};

type SecurityFactSource = {
  readonly companyId: string;
  readonly operation: string;
  readonly actor: { readonly userId: string };
  readonly request: { readonly id: string };
};

/** Within the transaction of a write. Not awaited, it shares the round trip of the statement after it. */
export function recordSecurityFacts(tx: Tx, source: SecurityFactSource, facts: readonly SecurityFact[]) {
  const { companyId, operation, actor, request } = source;
  return tx.query(
    `INSERT INTO security_log (company_id, event, reason, user_id, action, request_id, details)
     SELECT $1::uuid, f.event, f.reason, $2::uuid, $3, $4, f.details
     FROM jsonb_to_recordset($5) AS f (event text, reason text, details jsonb)`,
    [companyId, actor.userId, operation, request.id, JSON.stringify(facts)],
  );
}
