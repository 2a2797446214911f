import { type Approval, openApproval } from '../../activities/approvals/approval.ts';
import { type Pool, queryOnce, type Tx } from '../../activities/database.ts';
import { rowOrUndefined, type WriteRow } from '../../activities/write/write-row.ts';
import type { Caller } from '../http/auth.ts';
import { ApiProblem } from '../http/problems.ts';

/** The caller's membership of the company, and the row of the key. */
export type Lookup = Membership & LookedUp;

/** What the database has of a key. */
export type LookedUp = {
  readonly row: WriteRow | undefined;
  /** Without a row: what waits for its approval under the key. */
  readonly approval: Approval | undefined;
  /** Without a row, the version under which the server is verified. Undefined: a missing row proves nothing. */
  readonly version: string | undefined;
};

export type Membership = { readonly userId: string; readonly roles: readonly string[] };

/** One lookup in one round trip. A membership that is missing is left to {@link toLookup}. */
export async function lookUp(pool: Pool, { companyId, subject }: Caller, idempotencyKey: string) {
  const found = await queryOnce<Found>(pool, LOOK_UP, [companyId, subject, idempotencyKey]);
  return parts(found);
}

/**
 * The same as the first statement of a transaction, which it sets to the caller's company. Without a key it reads the
 * membership only. Throws `not_a_member`.
 */
export async function lookUpIn(
  tx: Tx,
  caller: Caller,
  idempotencyKey: string | undefined,
  before?: Membership,
): Promise<Lookup> {
  const found = await tx.query<Found>(LOOK_UP, [caller.companyId, caller.subject, idempotencyKey ?? null]);
  const { membership, ...lookedUp } = parts(found);
  return toLookup(caller, membership ?? before, lookedUp);
}

/** The same without a caller: for whoever was let in otherwise. */
export async function lookUpKeyIn(tx: Tx, companyId: string, idempotencyKey: string): Promise<LookedUp> {
  return parts(await tx.query<Found>(LOOK_UP, [companyId, null, idempotencyKey]));
}

/** The row of a write, for a caller whose membership has already been checked. */
export async function lookUpRow(pool: Pool, companyId: string, idempotencyKey: string): Promise<LookedUp> {
  const found = await queryOnce<Found>(pool, LOOK_UP, [companyId, null, idempotencyKey]);
  return parts(found);
}

/** Tells the caller's user. Throws `not_a_member`. */
export function toLookup(caller: Caller, membership: Membership | undefined, lookedUp: LookedUp): Lookup {
  if (membership !== undefined) {
    caller.userId = membership.userId;
    return { ...membership, ...lookedUp };
  }
  throw new ApiProblem('not_a_member', { detail: 'The user of the token is not a member of its company.' });
}

const LOOK_UP = `
SELECT l.member_id, l.member_roles, l.version, l.approval, (l.write).* FROM lookup_write(p_company => $1, p_subject => $2, p_key => $3) AS l`;

type Found = {
  readonly member_id: string | null;
  readonly member_roles: string[] | null;
  readonly version: string | null;
  readonly approval: Approval | null;
} & WriteRow;

function parts([found]: readonly Found[]): LookedUp & { membership: Membership | undefined } {
  if (found === undefined) throw new Error('Bug! lookup_write returns one row, always');
  const { member_id: userId, member_roles: roles } = found;
  return {
    membership: userId === null ? undefined : { userId, roles: roles ?? [] },
    row: rowOrUndefined(found),
    approval: openApproval(found.approval),
    version: found.version ?? undefined,
  };
}
