import { type Pool, queryOnce, type Tx } from '../../activities/database.ts';
import { rowOrUndefined, type WriteRow } from '../../activities/write/write-row.ts';
import type { Caller } from '../http/auth.ts';
import { ApiProblem } from '../http/problems.ts';

/** The caller's membership of the company, and the row of the key. */
export type Lookup = Membership & { readonly row: WriteRow | undefined };

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
export async function lookUpIn(tx: Tx, caller: Caller, idempotencyKey: string | undefined): Promise<Lookup> {
  const found = await tx.query<Found>(LOOK_UP, [caller.companyId, caller.subject, idempotencyKey ?? null]);
  const { membership, row } = parts(found);
  return toLookup(membership, row);
}

/** The row of a write, for a caller whose membership has already been checked. */
export async function lookUpRow(pool: Pool, companyId: string, idempotencyKey: string): Promise<WriteRow | undefined> {
  const [found] = await queryOnce<WriteRow>(
    pool,
    'SELECT (l.write).* FROM lookup_write(p_company => $1, p_subject => NULL, p_key => $2) AS l',
    [companyId, idempotencyKey],
  );
  return found === undefined ? undefined : rowOrUndefined(found);
}

/** Throws `not_a_member`. */
export function toLookup(membership: Membership | undefined, row: WriteRow | undefined): Lookup {
  if (membership !== undefined) return { ...membership, row };
  throw new ApiProblem('not_a_member', { detail: 'The user of the token is not a member of its company.' });
}

const LOOK_UP = `
SELECT l.member_id, l.member_roles, (l.write).* FROM lookup_write(p_company => $1, p_subject => $2, p_key => $3) AS l`;

type Found = { readonly member_id: string | null; readonly member_roles: string[] | null } & WriteRow;

function parts([found]: readonly Found[]): { membership: Membership | undefined; row: WriteRow | undefined } {
  if (found === undefined) throw new Error('Bug! lookup_write returns one row, always');
  const { member_id: userId, member_roles: roles } = found;
  return { membership: userId === null ? undefined : { userId, roles: roles ?? [] }, row: rowOrUndefined(found) };
}
