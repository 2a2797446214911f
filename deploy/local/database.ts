import { createHash } from 'node:crypto';
import pg from 'pg';
import { migrate } from '../../migrations/migrate.ts';
import { refuseProduction } from '../cli/local-config.ts';

/** One URL a login, so that a process has no more than its task needs. */
export type AppDatabase = {
  /** The owner's login: migrations, operator commands. */
  databaseUrl: string;
  /** For API and worker: it owns nothing, starts with the role `accubooks_app` and can take no other. */
  appDatabaseUrl: string;
  /** For the worker's relay, which sees the events of all companies; the application must not. */
  relayDatabaseUrl: string;
  /** For the worker's maintenance of the audit log. */
  maintenanceDatabaseUrl: string;
  /** For the worker's sealer, which reads all companies and adds what it seals. */
  sealerDatabaseUrl: string;
  /** For reports, and for whoever verifies an archived month before somebody else drops it. */
  auditorDatabaseUrl: string;
  /** For whoever asks for the erasure of a person, or confirms it. */
  eraserDatabaseUrl: string;
  /** For the worker's scheduled audits: another login than a person's, who verifies an archived month. */
  scheduledAuditorDatabaseUrl: string;
};

/** Each login has a password of its own: whoever has learnt one cannot log in as another. */
export type Passwords = Readonly<Record<'owner' | Login, string>>;

type Log = (line: string) => void;

const OWNER = 'accubooks_owner';
/** The only role that each login can take, made by the migrations. Two logins read as the auditor. */
const ROLE_OF = {
  app: 'accubooks_app',
  relay: 'accubooks_relay',
  maintenance: 'accubooks_maintenance',
  sealer: 'accubooks_sealer',
  auditor: 'accubooks_auditor',
  eraser: 'accubooks_eraser',
  scheduledAuditor: 'accubooks_auditor',
} as const;
type Login = keyof typeof ROLE_OF;
const LOGINS = Object.keys(ROLE_OF) as readonly Login[];
const NAME_OF: Readonly<Record<Login, string>> = {
  app: 'accubooks_login',
  relay: 'accubooks_relay_login',
  maintenance: 'accubooks_maintenance_login',
  sealer: 'accubooks_sealer_login',
  auditor: 'accubooks_auditor_login',
  eraser: 'accubooks_eraser_login',
  scheduledAuditor: 'accubooks_scheduled_auditor_login',
};
const PROCESS_ROLES = [...new Set(Object.values(ROLE_OF))];
const INSUFFICIENT_PRIVILEGE = '42501';

/** The passwords of all logins, each made or read by `passwordOf`. */
export function passwordsBy(passwordOf: (login: keyof Passwords) => string): Passwords {
  return {
    owner: passwordOf('owner'),
    app: passwordOf('app'),
    relay: passwordOf('relay'),
    maintenance: passwordOf('maintenance'),
    sealer: passwordOf('sealer'),
    auditor: passwordOf('auditor'),
    eraser: passwordOf('eraser'),
    scheduledAuditor: passwordOf('scheduledAuditor'),
  };
}

/** Creates roles, database, schema and logins in a cluster of our own. Running it again changes only the passwords. */
export async function createAppDatabase(options: {
  superuserUrl: string;
  database: string;
  passwords: Passwords;
  log?: Log;
}): Promise<AppDatabase> {
  refuseProduction();
  const { superuserUrl, database, passwords } = options;
  const databaseUrl = withLogin(superuserUrl, { user: OWNER, password: passwords.owner, database });
  await withClient(superuserUrl, async (superuser) => {
    // Roles belong to the cluster, so concurrent creations of databases would conflict.
    await superuser.query("SELECT pg_advisory_lock(hashtext('accubooks: create database'))");
    await setLogin(superuser, OWNER, passwords.owner, 'CREATEROLE BYPASSRLS');
    // A restore drill needs to switch off triggers and foreign keys to load tables in any order.
    await superuser.query(`GRANT SET ON PARAMETER session_replication_role TO ${OWNER}`);
    const { rowCount } = await superuser.query('SELECT FROM pg_database WHERE datname = $1', [database]);
    if (rowCount === 0) await superuser.query(`CREATE DATABASE ${pg.escapeIdentifier(database)} OWNER ${OWNER}`);
    await migrateDatabase(databaseUrl, options.log);
    for (const login of LOGINS) await setProcessLogin(superuser, login, NAME_OF[login], passwords[login], OWNER);
  });
  const urlOf = (login: Login) => withLogin(databaseUrl, { user: NAME_OF[login], password: passwords[login] });
  return { databaseUrl, ...urlsOf(urlOf) };
}

/**
 * Prepares a database that the user provides. With a separate `ownerUrl`, API and worker use `databaseUrl` unchanged.
 * Otherwise `databaseUrl` has the owner's login. Logins that are not given are made; if the owner may not create roles,
 * the processes use `databaseUrl` for them, which needs ALLOW_OWNER_LOGIN=1 where it is the owner's (`isOwnerLogin`).
 */
export async function prepareGivenDatabase(options: {
  databaseUrl: string;
  ownerUrl?: string | undefined;
  relayUrl?: string | undefined;
  maintenanceUrl?: string | undefined;
  sealerUrl?: string | undefined;
  passwords: Passwords;
  log?: Log;
}): Promise<AppDatabase & { isOwnerLogin: boolean }> {
  refuseProduction();
  const { databaseUrl, passwords } = options;
  const ownerUrl = options.ownerUrl ?? databaseUrl;
  await requireReachable(ownerUrl);
  await migrateDatabase(ownerUrl, options.log);
  const given: Partial<Record<Login, string | undefined>> = {
    app: options.ownerUrl === undefined ? undefined : databaseUrl,
    relay: options.relayUrl,
    maintenance: options.maintenanceUrl,
    sealer: options.sealerUrl,
  };

  // Others may use the cluster: a unique name ensures that we change nobody else's password.
  const ownSuffix = createHash('sha256').update(passwords.app).digest('hex').slice(0, 8);
  const nameOf = (login: Login) => `${NAME_OF[login]}_${ownSuffix}`;
  return withClient(ownerUrl, async (owner) => {
    try {
      await owner.query('BEGIN');
      for (const login of LOGINS.filter((one) => given[one] === undefined)) {
        await setProcessLogin(owner, login, nameOf(login), passwords[login], 'CURRENT_USER');
      }
      await owner.query('COMMIT');
    } catch (error) {
      await owner.query('ROLLBACK');
      if ((error as pg.DatabaseError).code !== INSUFFICIENT_PRIVILEGE) throw error;
      if (options.ownerUrl !== undefined) {
        throw new Error(
          `The owner's login may not create roles (${(error as Error).message}): create a login for each task ` +
            '(docs/operating.md) and set RELAY_DATABASE_URL, MAINTENANCE_DATABASE_URL and SEALER_DATABASE_URL.',
          { cause: error },
        );
      }
      await requireProcessRoles(owner);
      options.log?.(
        `The owner's login may not create roles (${(error as Error).message}), so the processes use the login of DATABASE_URL`,
      );
      const urls = urlsOf((login) => given[login] ?? databaseUrl);
      return {
        databaseUrl: ownerUrl,
        ...urls,
        auditorDatabaseUrl: ownerUrl,
        eraserDatabaseUrl: ownerUrl,
        isOwnerLogin: true,
      };
    }
    const urlOf = (login: Login) =>
      given[login] ?? withLogin(ownerUrl, { user: nameOf(login), password: passwords[login] });
    return { databaseUrl: ownerUrl, ...urlsOf(urlOf), isOwnerLogin: false };
  });
}

function urlsOf(urlOf: (login: Login) => string): Omit<AppDatabase, 'databaseUrl'> {
  return {
    appDatabaseUrl: urlOf('app'),
    relayDatabaseUrl: urlOf('relay'),
    maintenanceDatabaseUrl: urlOf('maintenance'),
    sealerDatabaseUrl: urlOf('sealer'),
    auditorDatabaseUrl: urlOf('auditor'),
    eraserDatabaseUrl: urlOf('eraser'),
    scheduledAuditorDatabaseUrl: urlOf('scheduledAuditor'),
  };
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

/** Makes a login that can take the role of its task and no other. The owner gets the role too, for operator commands. */
async function setProcessLogin(
  client: pg.Client,
  login: Login,
  name: string,
  password: string,
  owner: string,
): Promise<void> {
  await setLogin(client, name, password, 'NOINHERIT');
  const role = ROLE_OF[login];
  // Since PostgreSQL 16 the creator of a role may administer it but not SET ROLE to it, unless granted WITH SET.
  const { rows } = await client.query<{ separate: boolean }>(
    "SELECT current_setting('server_version_num')::integer >= 160000 AS separate",
  );
  const withSet = rows[0]?.separate ? 'WITH SET TRUE' : '';
  await client.query(`GRANT ${role} TO ${name}, ${owner} ${withSet}`);
  await client.query(`ALTER ROLE ${name} SET role = '${role}'`);
  // Granted by an earlier release; otherwise there is nothing to revoke.
  const others = await client.query<{ role: string }>(
    `SELECT roleid::regrole::text AS role FROM pg_auth_members
     WHERE member = $1::regrole AND roleid <> $2::regrole AND roleid::regrole::text = ANY ($3)`,
    [name, role, PROCESS_ROLES],
  );
  for (const other of others.rows) await client.query(`REVOKE ${other.role} FROM ${name}`);
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
