import { Client } from 'pg';

/**
 * The whole schema as deterministic text: what is committed as `schema.sql`, so that a review sees what a migration
 * does to the database, and a check sees a migration that does more, or less, than its author thinks.
 *
 * Reads the catalogs itself, since `pg_dump` is not there where only Node is. It is made to be read and compared, not
 * to be run. Audit partitions are left out: which ones exist depends on the month.
 */
export async function dumpSchema(connectionString: string): Promise<string> {
  const client = new Client({ connectionString, application_name: 'accubooks-schema-dump' });
  await client.connect();
  try {
    // With an empty search path the catalog functions qualify each name, whatever the login's settings are.
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = ''");
    const sections: string[] = [];
    for (const section of SECTIONS) {
      const { rows } = await client.query<{ ddl: string }>(section.sql);
      if (rows.length > 0) sections.push(`-- ${section.title}\n\n${rows.map((row) => tidy(row.ddl)).join('\n\n')}`);
    }
    return `${sections.join('\n\n')}\n`;
  } finally {
    await client.end();
  }
}

/** No trailing white space, no runs of empty lines: both are noise in a diff. */
function tidy(ddl: string): string {
  return ddl
    .replace(/[ \t]+$/gm, '')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}

/** Grants on one object, a line a grantee; the owner's own are implied. Takes SQL for the ACL, owner and object. */
function grants(acl: string, owner: string, objectName: string): string {
  return `(
    SELECT string_agg(line, '' ORDER BY line COLLATE "C") FROM (
      SELECT E'\\nGRANT ' || string_agg(acl.privilege_type, ', ' ORDER BY acl.privilege_type)
        || ' ON ' || ${objectName} || ' TO ' || CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
        || CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END || ';' AS line
      FROM aclexplode(${acl}) acl WHERE acl.grantee <> ${owner} GROUP BY acl.grantee, acl.is_grantable
    ) lines)`;
}

/** All objects belong to the owner of the database; one that does not is worth a line. */
function foreignOwner(kind: string, owner: string, objectName: string): string {
  return `(SELECT E'\\nALTER ${kind} ' || ${objectName} || ' OWNER TO ' || ${owner}::regrole || ';'
    FROM pg_database d WHERE d.datname = current_database() AND d.datdba <> ${owner})`;
}

function notOfExtension(catalog: string, oid: string): string {
  return `NOT EXISTS (
    SELECT FROM pg_depend e WHERE e.classid = '${catalog}'::regclass AND e.objid = ${oid} AND e.deptype = 'e')`;
}

const ROLES = `
  SELECT 'ROLE ' || r.rolname || concat(
      CASE WHEN r.rolcanlogin THEN ' LOGIN' ELSE ' NOLOGIN' END, CASE WHEN r.rolsuper THEN ' SUPERUSER' END,
      CASE WHEN r.rolinherit THEN ' INHERIT' ELSE ' NOINHERIT' END, CASE WHEN r.rolcreaterole THEN ' CREATEROLE' END,
      CASE WHEN r.rolcreatedb THEN ' CREATEDB' END, CASE WHEN r.rolreplication THEN ' REPLICATION' END,
      CASE WHEN r.rolbypassrls THEN ' BYPASSRLS' END, ';')
    || coalesce((
      SELECT string_agg(E'\\nGRANT ' || m.roleid::regrole || ' TO ' || r.rolname || format(' WITH ADMIN %s, INHERIT %s, SET %s;',
        m.admin_option, m.inherit_option, m.set_option), '' ORDER BY m.roleid::regrole::text COLLATE "C", m.grantor)
      FROM pg_auth_members m WHERE m.member = r.oid), '')
    || coalesce((
      SELECT string_agg(E'\\nALTER ROLE ' || r.rolname || ' SET ' || setting || ';', '' ORDER BY setting COLLATE "C")
      FROM pg_db_role_setting s, unnest(s.setconfig) setting WHERE s.setrole = r.oid), '') AS ddl
  FROM pg_roles r WHERE r.rolname LIKE 'accubooks\\_%' ORDER BY r.rolname COLLATE "C"`;

const SCHEMAS = `
  SELECT 'CREATE SCHEMA ' || quote_ident(n.nspname) || ';' || concat(
    ${grants('n.nspacl', 'n.nspowner', `'SCHEMA ' || quote_ident(n.nspname)`)},
    (SELECT string_agg(E'\\nALTER DEFAULT PRIVILEGES FOR ROLE ' || d.defaclrole::regrole || ' ON ' || d.defaclobjtype::text
      || ': ' || d.defaclacl::text || ';', '' ORDER BY d.defaclrole::regrole::text COLLATE "C", d.defaclobjtype)
      FROM pg_default_acl d WHERE d.defaclnamespace = n.oid)) AS ddl
  FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY n.nspname COLLATE "C"`;

const EXTENSIONS = `
  SELECT 'CREATE EXTENSION ' || quote_ident(e.extname) || ' SCHEMA ' || e.extnamespace::regnamespace || ';' AS ddl
  FROM pg_extension e WHERE e.extname <> 'plpgsql' ORDER BY e.extname COLLATE "C"`;

const TYPES = `
  SELECT CASE t.typtype
      WHEN 'd' THEN 'CREATE DOMAIN ' || t.oid::regtype || ' AS ' || format_type(t.typbasetype, t.typtypmod)
        || coalesce(' DEFAULT ' || t.typdefault, '') || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END
        || coalesce((SELECT string_agg(E'\\n  CONSTRAINT ' || quote_ident(c.conname) || ' ' || pg_get_constraintdef(c.oid), ''
          ORDER BY c.conname COLLATE "C") FROM pg_constraint c WHERE c.contypid = t.oid AND c.contype = 'c'), '')
      WHEN 'e' THEN 'CREATE TYPE ' || t.oid::regtype || ' AS ENUM (' || (
        SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid) || ')'
      ELSE 'CREATE TYPE ' || t.oid::regtype || ' AS (' || (
        SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) || ')'
    END || ';' AS ddl
  FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE t.typnamespace = 'public'::regnamespace AND (t.typtype IN ('d', 'e') OR c.relkind = 'c')
    AND ${notOfExtension('pg_type', 't.oid')}
  ORDER BY t.typname COLLATE "C"`;

const SEQUENCES = `
  SELECT 'CREATE SEQUENCE ' || c.oid::regclass || format(' AS %s START %s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s%s;',
      s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
      CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END) || concat(
    ${foreignOwner('SEQUENCE', 'c.relowner', 'c.oid::regclass')},
    ${grants('c.relacl', 'c.relowner', `'SEQUENCE ' || c.oid::regclass`)}) AS ddl
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
  WHERE c.relnamespace = 'public'::regnamespace AND ${notOfExtension('pg_class', 'c.oid')}
  ORDER BY c.relname COLLATE "C"`;

// A column reads: name type collation default-or-generated NOT NULL. Constraints follow: keys first, then the others.
const COLUMNS_AND_CONSTRAINTS = `(
  SELECT string_agg('  ' || line, E',\\n' ORDER BY part, position, line COLLATE "C") FROM (
    SELECT 1 AS part, a.attnum::int AS position, quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
      || CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END
      || CASE WHEN a.attidentity = 'a' THEN ' GENERATED ALWAYS AS IDENTITY'
              WHEN a.attidentity = 'd' THEN ' GENERATED BY DEFAULT AS IDENTITY'
              WHEN a.attgenerated = 's' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') STORED'
              WHEN a.attgenerated = 'v' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') VIRTUAL'
              ELSE coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') END
      || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END AS line
    FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 2, CASE k.contype WHEN 'p' THEN 1 WHEN 'u' THEN 2 WHEN 'x' THEN 3 WHEN 'c' THEN 4 ELSE 5 END,
      'CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid)
    FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x', 'c', 'f')
  ) lines)`;

const INDEXES = `(
  SELECT string_agg(E'\\n' || pg_get_indexdef(i.indexrelid) || ';', '' ORDER BY i.indexrelid::regclass::text COLLATE "C")
  FROM pg_index i
  WHERE i.indrelid = c.oid AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = c.oid))`;

const TRIGGERS = `(
  SELECT string_agg(E'\\n' || pg_get_triggerdef(t.oid) || ';'
    || CASE t.tgenabled WHEN 'O' THEN '' ELSE ' -- tgenabled ' || t.tgenabled::text END, '' ORDER BY t.tgname COLLATE "C")
  FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)`;

const POLICIES = `(
  SELECT string_agg(E'\\nCREATE POLICY ' || quote_ident(p.polname) || ' ON ' || c.oid::regclass
    || CASE WHEN p.polpermissive THEN '' ELSE ' AS RESTRICTIVE' END
    || ' FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END
    || ' TO ' || (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END, ', ' ORDER BY r::regrole::text COLLATE "C") FROM unnest(p.polroles) r)
    || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
    || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') || ';', '' ORDER BY p.polname COLLATE "C")
  FROM pg_policy p WHERE p.polrelid = c.oid)`;

const COLUMN_GRANTS = `(
  SELECT string_agg(${grants('a.attacl', 'c.relowner', `c.oid::regclass || '(' || quote_ident(a.attname) || ')'`)}, '' ORDER BY a.attnum)
  FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attacl IS NOT NULL)`;

const COMMENTS = `(
  SELECT string_agg(E'\\nCOMMENT ON ' || CASE d.objsubid WHEN 0 THEN 'TABLE ' || c.oid::regclass
      ELSE 'COLUMN ' || c.oid::regclass || '.' || (
        SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = d.objsubid) END
    || ' IS ' || quote_literal(d.description) || ';', '' ORDER BY d.objsubid)
  FROM pg_description d WHERE d.classoid = 'pg_class'::regclass AND d.objoid = c.oid)`;

const RULE_OF_ROW_SECURITY = `CASE WHEN c.relrowsecurity
  THEN E'\\nALTER TABLE ' || c.oid::regclass || ' ENABLE ROW LEVEL SECURITY'
    || CASE WHEN c.relforcerowsecurity THEN ', FORCE ROW LEVEL SECURITY' ELSE '' END || ';' END`;

const TABLES = `
  SELECT 'CREATE ' || CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END || 'TABLE ' || c.oid::regclass
    || E' (\\n' || coalesce(${COLUMNS_AND_CONSTRAINTS}, '') || E'\\n)'
    || coalesce(' PARTITION BY ' || pg_get_partkeydef(c.oid), '')
    || coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '') || ';' || concat(
      ${foreignOwner('TABLE', 'c.relowner', 'c.oid::regclass')},
      ${COMMENTS}, ${INDEXES}, ${TRIGGERS}, ${RULE_OF_ROW_SECURITY}, ${POLICIES},
      ${grants('c.relacl', 'c.relowner', 'c.oid::regclass')}, ${COLUMN_GRANTS}) AS ddl
  FROM pg_class c
  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'f') AND ${notOfExtension('pg_class', 'c.oid')}
  ORDER BY c.relname COLLATE "C"`;

const VIEWS = `
  SELECT 'CREATE ' || CASE c.relkind WHEN 'm' THEN 'MATERIALIZED ' ELSE '' END || 'VIEW ' || c.oid::regclass
    || coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '') || E' AS\\n' || pg_get_viewdef(c.oid) || concat(
      ${foreignOwner('VIEW', 'c.relowner', 'c.oid::regclass')}, ${INDEXES}, ${TRIGGERS},
      ${grants('c.relacl', 'c.relowner', 'c.oid::regclass')}, ${COLUMN_GRANTS}) AS ddl
  FROM pg_class c
  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm') AND ${notOfExtension('pg_class', 'c.oid')}
  ORDER BY c.relname COLLATE "C"`;

// acldefault: a function without an ACL may be executed by PUBLIC, which has to be seen.
const FUNCTIONS = `
  SELECT pg_get_functiondef(p.oid) || ';' || concat(
    ${foreignOwner('FUNCTION', 'p.proowner', 'p.oid::regprocedure')},
    ${grants(`coalesce(p.proacl, acldefault('f', p.proowner))`, 'p.proowner', `'FUNCTION ' || p.oid::regprocedure`)}) AS ddl
  FROM pg_proc p
  WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p') AND ${notOfExtension('pg_proc', 'p.oid')}
  ORDER BY p.proname COLLATE "C", p.oid::regprocedure::text COLLATE "C"`;

const SECTIONS: readonly { title: string; sql: string }[] = [
  { title: 'Roles', sql: ROLES },
  { title: 'Schemas', sql: SCHEMAS },
  { title: 'Extensions', sql: EXTENSIONS },
  { title: 'Types', sql: TYPES },
  { title: 'Sequences', sql: SEQUENCES },
  { title: 'Tables', sql: TABLES },
  { title: 'Views', sql: VIEWS },
  { title: 'Functions', sql: FUNCTIONS },
];
