import { type Pool, queryOnce } from '../activities/database.ts';

type Reachable = {
  readonly name: string;
  readonly isLogin: boolean;
  readonly rolsuper: boolean;
  readonly rolbypassrls: boolean;
  readonly rolcreaterole: boolean;
  readonly rolcreatedb: boolean;
  readonly rolreplication: boolean;
  readonly owns: boolean;
  readonly granted: boolean;
  readonly temporary: boolean;
  readonly creates: boolean;
};

/**
 * Throws when the process's login, or any role that it inherits or may take, could do more than `role`: get round row-level
 * security, own or create objects, or become a role of another task. `ALLOW_OWNER_LOGIN=1` skips the check, for local use.
 */
export async function checkLogin(
  pool: Pool,
  allowOwner: boolean,
  { setting, role } = { setting: 'DATABASE_URL', role: 'accubooks_app' },
): Promise<void> {
  if (allowOwner) return;
  const roles = await queryOnce<Reachable>(pool, REACHABLE_ROLES);
  const login = roles.find(({ isLogin }) => isLogin);
  if (login === undefined) throw new Error('Bug! A session without a role');
  const others = roles.filter(({ name }) => name !== login.name);
  const own = faultsOf(login);
  const faults = [
    ...own,
    login.granted && 'has privileges of its own',
    !others.some(({ name }) => name === role) && `is not a member of ${role}`,
    // A superuser may become any role, which says nothing more.
    ...(login.rolsuper ? [] : others.flatMap((other) => faultsOfReached(other, role, own))),
  ].filter((fault) => fault !== false);
  if (faults.length > 0) {
    throw new Error(
      `${setting}'s login ${faults.join(', ')}: use a login whose only privilege is membership in ${role} (docs/operating.md)`,
    );
  }
}

function faultsOfReached(other: Reachable, needed: string, own: readonly string[]): string[] {
  const more = faultsOf(other).filter((fault) => !own.includes(fault));
  if (other.name !== needed) return [`may become ${[other.name, ...more].join(', which ')}`];
  return more.map((fault) => `may become ${other.name}, which ${fault}`);
}

function faultsOf(role: Reachable): string[] {
  return [
    role.rolsuper && 'is a superuser',
    role.rolbypassrls && 'bypasses row-level security',
    role.rolcreaterole && 'creates roles',
    role.rolcreatedb && 'creates databases',
    role.rolreplication && 'may replicate',
    role.owns && 'owns tables',
    role.creates && 'creates objects',
    // db:migrate takes it from PUBLIC, where it is by default, also after a restore has brought it back.
    role.temporary && 'creates temporary tables (run npm run db:migrate)',
  ].filter((fault) => fault !== false);
}

/**
 * The login itself and each role that it is a member of, directly or through others, whether it inherits it, may take it or
 * may only pass it on: who may pass a role on can grant it to itself.
 */
const REACHABLE_ROLES = `
SELECT r.rolname AS name, r.rolname = session_user AS "isLogin", r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb,
  r.rolreplication,
  EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND c.relowner = r.oid) AS owns,
  EXISTS (SELECT FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = r.oid)
    OR EXISTS (SELECT FROM pg_attribute c, aclexplode(c.attacl) a WHERE c.attacl IS NOT NULL AND a.grantee = r.oid)
    OR EXISTS (SELECT FROM pg_proc p, aclexplode(p.proacl) a WHERE a.grantee = r.oid) AS granted,
  has_database_privilege(r.oid, current_database(), 'TEMPORARY') AS temporary,
  has_database_privilege(r.oid, current_database(), 'CREATE') OR has_schema_privilege(r.oid, 'public', 'CREATE') AS creates
FROM pg_roles r WHERE pg_has_role(session_user, r.oid, 'MEMBER') ORDER BY r.rolname COLLATE "C"`;
