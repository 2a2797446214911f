import { type Database, queryOnce } from '../activities/database.ts';
import { presentRow, type WriteRow } from '../activities/write-row.ts';
import type { Caller } from './auth.ts';
import { ApiProblem } from './problems.ts';

/** What the database knows of the caller here, and of the key. */
export type Lookup = {
  readonly userId: string;
  readonly roles: readonly string[];
  readonly row: WriteRow | undefined;
};

/**
 * Step 2 of the write path: one round trip on the primary. Throws `not_a_member`; without a key it asks for the roles
 * alone.
 */
export async function lookUp(database: Database, caller: Caller, key: string | undefined): Promise<Lookup> {
  const [found] = await queryOnce<{ member_id: string | null; member_roles: string[] | null } & WriteRow>(
    database.lookups,
    'SELECT l.member_id, l.member_roles, (l.write).* FROM lookup_write($1, $2, $3) AS l',
    [caller.companyId, caller.subject, key ?? null],
  );
  if (found === undefined) throw new Error('Bug! lookup_write returns one row, always');
  if (found.member_id === null || found.member_roles === null) {
    throw new ApiProblem('not_a_member', { detail: 'The token’s user is no member of the token’s company.' });
  }
  return { userId: found.member_id, roles: found.member_roles, row: presentRow(found) };
}

/** The row of a write whose caller has been let in already. */
export async function lookUpRow(database: Database, companyId: string, key: string): Promise<WriteRow | undefined> {
  const [found] = await queryOnce<WriteRow>(
    database.lookups,
    'SELECT (l.write).* FROM lookup_write($1, NULL, $2) AS l',
    [companyId, key],
  );
  return found === undefined ? undefined : presentRow(found);
}
