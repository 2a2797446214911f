import { type Database, queryOnce, type Tx } from '../../activities/database.ts';
import { rowOrUndefined, type WriteRow } from '../../activities/write/write-row.ts';
import type { Caller } from '../http/auth.ts';
import { ApiProblem } from '../http/problems.ts';

/** The caller's membership of the company, and the row of the key. */
export type Lookup = {
  readonly userId: string;
  readonly roles: readonly string[];
  readonly row: WriteRow | undefined;
};

/**
 * Step 2 of the write path: one round trip to the primary. Without a key it reads the membership only. Throws
 * `not_a_member`.
 */
export async function lookUp(database: Database, caller: Caller, idempotencyKey: string | undefined): Promise<Lookup> {
  const found = await queryOnce<Found>(database.reads, LOOK_UP, [
    caller.companyId,
    caller.subject,
    idempotencyKey ?? null,
  ]);
  return toLookup(found);
}

/** The same as the first statement of a transaction, which it sets to the caller's company. */
export async function lookUpIn(tx: Tx, caller: Caller, idempotencyKey: string | undefined): Promise<Lookup> {
  return toLookup(await tx.query<Found>(LOOK_UP, [caller.companyId, caller.subject, idempotencyKey ?? null]));
}

const LOOK_UP = `
SELECT l.member_id, l.member_roles, (l.write).* FROM lookup_write(p_company => $1, p_subject => $2, p_key => $3) AS l`;

type Found = { readonly member_id: string | null; readonly member_roles: string[] | null } & WriteRow;

function toLookup([found]: readonly Found[]): Lookup {
  if (found === undefined) throw new Error('Bug! lookup_write returns one row, always');
  if (found.member_id === null || found.member_roles === null) {
    throw new ApiProblem('not_a_member', { detail: 'The user of the token is not a member of its company.' });
  }
  return { userId: found.member_id, roles: found.member_roles, row: rowOrUndefined(found) };
}

/** The row of a write, for a caller whose membership has already been checked. */
export async function lookUpRow(
  database: Database,
  companyId: string,
  idempotencyKey: string,
): Promise<WriteRow | undefined> {
  const [found] = await queryOnce<WriteRow>(
    database.reads,
    'SELECT (l.write).* FROM lookup_write(p_company => $1, p_subject => NULL, p_key => $2) AS l',
    [companyId, idempotencyKey],
  );
  return found === undefined ? undefined : rowOrUndefined(found);
}
