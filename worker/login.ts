import { type Pool, queryOnce } from '../activities/database.ts';

/**
 * Throws when the process's login could bypass tenant isolation: a superuser, a role with BYPASSRLS, or the owner of a
 * table. `ALLOW_OWNER_LOGIN=1` skips the check, for local use.
 */
export async function checkLogin(
  pool: Pool,
  allowOwner: boolean,
  { setting, role } = { setting: 'DATABASE_URL', role: 'accubooks_app' },
): Promise<void> {
  if (allowOwner) return;
  const [login] = await queryOnce<{ rolsuper: boolean; rolbypassrls: boolean; owns: boolean; member: boolean }>(
    pool,
    `SELECT r.rolsuper, r.rolbypassrls,
       EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relowner = r.oid) AS owns,
       pg_has_role(r.oid, $1, 'MEMBER') AS member
     FROM pg_roles r WHERE r.rolname = session_user`,
    [role],
  );
  if (login === undefined) throw new Error('Bug! A session without a role');
  const faults = [
    login.rolsuper && 'is a superuser',
    login.rolbypassrls && 'bypasses row-level security',
    login.owns && 'owns tables',
    !login.member && `is not a member of ${role}`,
  ].filter((fault) => fault !== false);
  if (faults.length > 0) {
    throw new Error(
      `${setting}'s login ${faults.join(', ')}: use a login whose only privilege is membership in ${role} (docs/operating.md)`,
    );
  }
}
