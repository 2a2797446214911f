import canonicalize from 'canonicalize';
import pg from 'pg';
import { fingerprint, rowId, WRITE_NAMESPACE } from '../../../../activities/identity.ts';
import { type Column, type Original, type OriginalRow, textOf } from './originals.ts';

/** A text of the originals, and the SQL of what a copy has in its place. */
export type Replacement = readonly [text: string, sql: string];

/**
 * One statement that inserts a copy of the originals for each row of `source`, and returns how many rows that were.
 *
 * `source` has `company_id`, the time `at`, and `key0`, `key1`, …: the key of each original's copy. The replacements and
 * `columns` name what else it has as `k.…`. IDs and fingerprints of the copies follow from these as in the write path.
 */
export function copyStatement(options: {
  readonly source: string;
  readonly originals: readonly Original[];
  readonly replacements: readonly Replacement[];
  /** The SQL of columns, by `table.column`, whose text alone does not say what it depends on. */
  readonly columns?: Readonly<Record<string, string>>;
}): string {
  const { originals } = options;
  const replacements = [...options.replacements, ...originals.flatMap(ownReplacements)];
  const columns = { ...COLUMNS, ...options.columns };
  const tables = [...new Set(originals.flatMap(({ rows }) => rows.map(({ table }) => table)))];
  const inserts = tables.map((table, index) => {
    const rows = originals.flatMap((original) => original.rows.filter((row) => row.table === table));
    const names = rows[0]?.columns.map(({ name }) => name) ?? [];
    const values = names.map((_, at) => {
      const each = rows.map((row) => sqlOf(row, row.columns[at] as Column, replacements, columns));
      // Rows of one write lie together, as when it makes them. VALUES would compile its expressions for each row anew.
      return each.length === 1 ? (each[0] as string) : `unnest(ARRAY[${list(each)}])`;
    });
    return `into${index} AS (INSERT INTO ${table} (${list(names)}) SELECT ${list(values)} FROM k)`;
  });
  const ids = originals.flatMap(({ operation }, index) => [
    `${writeIdSql(operation, 'company_id', `key${index}`)} AS write${index}`,
    `gen_random_uuid() AS request${index}`,
  ]);
  const entryIds = originals.map((_, index) => `${v5(`write${index}`, `'journal_entries:0'`)} AS entry${index}`);
  // Materialized: an inlined expression would be computed wherever it is named.
  return `
    WITH source AS MATERIALIZED (${options.source}),
    written AS MATERIALIZED (SELECT *, ${list(ids)} FROM source),
    k AS MATERIALIZED (SELECT *, ${list(entryIds)} FROM written),
    ${inserts.join(',\n')}
    SELECT count(*)::int AS copies FROM k`;
}

/** `writeId` of activities/identity.ts. */
export function writeIdSql(operation: string, company: string, key: string): string {
  return v5(`'${WRITE_NAMESPACE}'`, `concat('company:', ${company}, ':op:${operation}:key:', ${key})`);
}

function list(parts: readonly string[]): string {
  return parts.join(', ');
}

function v5(namespace: string, name: string): string {
  return `uuid_generate_v5(${namespace}, ${name})`;
}

/** What defaults, triggers and the relay give. */
const COLUMNS = {
  'idempotent_write_audit_log.id': `nextval('idempotent_write_audit_log_id')`,
  'journal_entries.created_xid': 'pg_current_xact_id()',
  'outbox.sequence': `nextval('outbox_sequence')`,
  'outbox.started_at': 'k.at',
  'outbox.delivered_at': 'k.at',
};

/** A line of zero is left out, and its position with it. */
const LINE_POSITIONS = [0, 1, 2];

/** The texts of one write that no other write has. */
function ownReplacements({ operation, writeId, rows }: Original, index: number): Replacement[] {
  const record = rows.find(({ table }) => table === 'idempotent_writes') as OriginalRow;
  const createdAt = /"createdAt":"([^"]+)"/.exec(textOf(record, 'response_body'))?.[1];
  if (createdAt === undefined) throw new Error(`Bug! The answer of ${operation} does not say when`);
  return [
    [writeId, `k.write${index}`],
    [rowId(writeId, 'journal_entries', 0), `k.entry${index}`],
    ...LINE_POSITIONS.map(
      (position): Replacement => [
        rowId(writeId, 'journal_lines', position),
        v5(`k.write${index}`, `'journal_lines:${position}'`),
      ],
    ),
    [rowId(writeId, 'outbox', 0), v5(`k.write${index}`, `'outbox:0'`)],
    [textOf(record, 'workflow_id'), `concat(k.company_id, ':', k.key${index})`],
    [textOf(record, 'idempotency_key'), `k.key${index}`],
    [textOf(record, 'request_id'), `k.request${index}`],
    [textOf(record, 'submission_id'), 'gen_random_uuid()'],
    [createdAt, `to_char(k.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`],
  ];
}

function sqlOf(
  row: OriginalRow,
  { name, type, text }: Column,
  replacements: readonly Replacement[],
  columns: Readonly<Record<string, string>>,
): string {
  const given = columns[`${row.table}.${name}`];
  if (given !== undefined) return given;
  if (text === null) return `NULL::${type}`;
  if (type === 'timestamp with time zone') return 'k.at';
  if (name === 'fingerprint') {
    return `encode(sha256(convert_to(${replaced(canonicalRequest(row), replacements)}, 'UTF8')), 'hex')`;
  }
  const value = text === '' ? `''` : replaced(text, replacements);
  return type === 'bytea' ? `convert_to(${value}, 'UTF8')` : `(${value})::${type}`;
}

function replaced(text: string, replacements: readonly Replacement[]): string {
  const parts = partsOf(text, replacements);
  return parts.length === 1 ? (parts[0] as string) : `concat(${list(parts)})`;
}

/** The SQL of each stretch of the text. */
function partsOf(text: string, replacements: readonly Replacement[]): string[] {
  const found = replacements.find(([own]) => text.includes(own));
  if (found === undefined) {
    if (AN_ID.test(text)) throw new Error(`Bug! Every copy would have the ID in ${text}`);
    return [pg.escapeLiteral(text)];
  }
  const [own, sql] = found;
  return text
    .split(own)
    .flatMap((part, index) => [...(index === 0 ? [] : [sql]), ...(part === '' ? [] : partsOf(part, replacements))]);
}

const AN_ID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

/** The text whose hash is the fingerprint. */
function canonicalRequest(record: OriginalRow): string {
  const operation = textOf(record, 'operation');
  const request = JSON.parse(textOf(record, 'request'));
  const canonical = canonicalize({ operation, params: request.params, body: request.body });
  if (canonical === undefined || fingerprint(operation, request) !== textOf(record, 'fingerprint')) {
    throw new Error(`Bug! The fingerprint of ${operation} is of another text`);
  }
  return canonical;
}
