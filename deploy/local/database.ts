import { createHash } from 'node:crypto';
import pg from 'pg';
import { migrate } from '../../migrations/migrate.ts';
import { refuseProduction } from '../cli/local-config.ts';

/**
 * `databaseUrl` has the owner's login (migrations, operator commands). `appDatabaseUrl` is for API and worker: its login owns
 * nothing and starts with the role `accubooks_app`.
 */
export type AppDatabase = {
  databaseUrl: string;
  appDatabaseUrl: string;
  /** For the worker's relay, which sees the events of all companies; the application must not. */
  relayDatabaseUrl: string;
};

type Log = (line: string) => void;

const OWNER = 'accubooks_owner';
const LOGIN = 'accubooks_login';
const RELAY_LOGIN = 'accubooks_relay_login';
/** Created by the migrations. A login starts with the first one. */
const APP_ROLES = ['accubooks_app', 'accubooks_maintenance', 'accubooks_auditor'];
const RELAY_ROLES = ['accubooks_relay'];
const PROCESS_ROLES = [...APP_ROLES, ...RELAY_ROLES];
const INSUFFICIENT_PRIVILEGE = '42501';

/** Creates roles, database, schema and logins in a cluster of our own. Running it again changes only the passwords. */
export async function createAppDatabase(options: {
  superuserUrl: string;
  database: string;
  ownerPassword: string;
  loginPassword: string;
  log?: Log;
}): Promise<AppDatabase> {
  refuseProduction();
  const { superuserUrl, database } = options;
  const databaseUrl = withLogin(superuserUrl, { user: OWNER, password: options.ownerPassword, database });
  await withClient(superuserUrl, async (superuser) => {
    // Roles belong to the cluster, so concurrent creations of databases would conflict.
    await superuser.query("SELECT pg_advisory_lock(hashtext('accubooks: create database'))");
    await setLogin(superuser, OWNER, options.ownerPassword, 'CREATEROLE BYPASSRLS');
    // A restore drill needs to switch off triggers and foreign keys to load tables in any order.
    await superuser.query(`GRANT SET ON PARAMETER session_replication_role TO ${OWNER}`);
    const { rowCount } = await superuser.query('SELECT FROM pg_database WHERE datname = $1', [database]);
    if (rowCount === 0) await superuser.query(`CREATE DATABASE ${pg.escapeIdentifier(database)} OWNER ${OWNER}`);
    await migrateDatabase(databaseUrl, options.log);
    await setLogin(superuser, LOGIN, options.loginPassword, 'NOINHERIT');
    await grantRoles(superuser, APP_ROLES, LOGIN, OWNER);
    await superuser.query(`REVOKE ${RELAY_ROLES.join(', ')} FROM ${LOGIN}`); // granted by an earlier release
    await setLogin(superuser, RELAY_LOGIN, options.loginPassword, 'NOINHERIT');
    await grantRoles(superuser, RELAY_ROLES, RELAY_LOGIN, OWNER);
  });
  return {
    databaseUrl,
    appDatabaseUrl: withLogin(databaseUrl, { user: LOGIN, password: options.loginPassword }),
    relayDatabaseUrl: withLogin(databaseUrl, { user: RELAY_LOGIN, password: options.loginPassword }),
  };
}

/**
 * Prepares a database that the user provides. With a separate `ownerUrl`, API and worker use `databaseUrl` unchanged.
 * Otherwise `databaseUrl` has the owner's login. If that login may not create roles, `appDatabaseUrl` uses it too
 * (`isOwnerLogin`), and the processes need ALLOW_OWNER_LOGIN=1.
 */
export async function prepareGivenDatabase(options: {
  databaseUrl: string;
  ownerUrl?: string | undefined;
  relayUrl?: string | undefined;
  loginPassword: string;
  log?: Log;
}): Promise<AppDatabase & { isOwnerLogin: boolean }> {
  refuseProduction();
  const { databaseUrl, ownerUrl, loginPassword } = options;
  await requireReachable(ownerUrl ?? databaseUrl);
  await migrateDatabase(ownerUrl ?? databaseUrl, options.log);
  if (ownerUrl !== undefined) {
    // Without RELAY_DATABASE_URL, the one login is used for both roles.
    const relayDatabaseUrl = options.relayUrl ?? databaseUrl;
    return { databaseUrl: ownerUrl, appDatabaseUrl: databaseUrl, relayDatabaseUrl, isOwnerLogin: false };
  }

  // Others may use the cluster: a unique name ensures that we change nobody else's password.
  const ownSuffix = createHash('sha256').update(loginPassword).digest('hex').slice(0, 8);
  const [login, relayLogin] = [`${LOGIN}_${ownSuffix}`, `${RELAY_LOGIN}_${ownSuffix}`];
  return withClient(databaseUrl, async (owner) => {
    try {
      await owner.query('BEGIN');
      await setLogin(owner, login, loginPassword, 'NOINHERIT');
      await grantRoles(owner, APP_ROLES, login, 'CURRENT_USER');
      await owner.query(`REVOKE ${RELAY_ROLES.join(', ')} FROM ${login}`); // granted by an earlier release
      await setLogin(owner, relayLogin, loginPassword, 'NOINHERIT');
      await grantRoles(owner, RELAY_ROLES, relayLogin, 'CURRENT_USER');
      await owner.query('COMMIT');
    } catch (error) {
      await owner.query('ROLLBACK');
      if ((error as pg.DatabaseError).code !== INSUFFICIENT_PRIVILEGE) throw error;
      await requireProcessRoles(owner);
      options.log?.(
        `The login of DATABASE_URL may not create roles (${(error as Error).message}), so API and worker use it too`,
      );
      return { databaseUrl, appDatabaseUrl: databaseUrl, relayDatabaseUrl: databaseUrl, isOwnerLogin: true };
    }
    const appDatabaseUrl = withLogin(databaseUrl, { user: login, password: loginPassword });
    const relayDatabaseUrl = withLogin(databaseUrl, { user: relayLogin, password: loginPassword });
    return { databaseUrl, appDatabaseUrl, relayDatabaseUrl, isOwnerLogin: false };
  });
}

async function requireReachable(url: string): Promise<void> {
  try {
    await withClient(url, async () => {});
  } catch (cause) {
    const why = cause instanceof AggregateError ? cause.errors.join('; ') : (cause as Error).message;
    throw new Error(
      `The database of DATABASE_URL cannot be reached (${why}). Correct it, or unset it to use the embedded database.`,
      {
        cause,
      },
    );
  }
}

async function requireProcessRoles(owner: pg.Client): Promise<void> {
  try {
    for (const role of PROCESS_ROLES) await owner.query(`SET ROLE ${role}`);
    await owner.query('RESET ROLE');
  } catch (cause) {
    const { rows } = await owner.query<{ name: string }>('SELECT quote_ident(session_user) AS name');
    const grant = `GRANT ${PROCESS_ROLES.join(', ')} TO ${rows[0]?.name}`;
    throw new Error(
      `The login of DATABASE_URL lacks the roles of the processes. Ask an administrator to run: ${grant};`,
      {
        cause,
      },
    );
  }
}

async function migrateDatabase(connectionString: string, log: Log | undefined): Promise<void> {
  await migrate({ connectionString, ...(log ? { log } : {}) });
}

async function setLogin(client: pg.Client, name: string, password: string, attributes: string): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [name]);
  const verb = rowCount === 0 ? 'CREATE' : 'ALTER';
  await client.query(`${verb} ROLE ${name} LOGIN ${attributes} PASSWORD ${pg.escapeLiteral(password)}`);
}

/** Also grants the roles to the owner, so that operator commands can use them. */
async function grantRoles(client: pg.Client, roles: readonly string[], login: string, owner: string): Promise<void> {
  // Since PostgreSQL 16 the creator of a role may administer it but not SET ROLE to it, unless granted WITH SET.
  const { rows } = await client.query<{ separate: boolean }>(
    "SELECT current_setting('server_version_num')::integer >= 160000 AS separate",
  );
  const withSet = rows[0]?.separate ? 'WITH SET TRUE' : '';
  await client.query(`GRANT ${roles.join(', ')} TO ${login}, ${owner} ${withSet}`);
  await client.query(`ALTER ROLE ${login} SET role = '${roles[0]}'`);
}

async function withClient<T>(connectionString: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function withLogin(url: string, login: { user: string; password: string; database?: string }): string {
  const changed = new URL(url);
  changed.username = login.user;
  changed.password = login.password;
  if (login.database !== undefined) changed.pathname = `/${login.database}`;
  return changed.href;
}
