/**
 * SQL that compares rows with the answers of the writes that made or changed them. Whoever can write SQL as the owner of the
 * tables, past every trigger, can change a document in all of its rows at once, so that its sums are right again. What was
 * answered stays: the bytes are in the row of the write, and in the client's hands.
 */

/** A member of an answer and the SQL of its value in the row as it is now. Members that end in `At` are compared as instants. */
type Members = Readonly<Record<string, string | MemberOf>>;
/** A member that only the answers of these operations fix; later operations may have changed it since the others. */
type MemberOf = { readonly value: string; readonly of: readonly string[] };

type Comparison = {
  /** The operations whose answers are compared. */
  readonly operations: readonly string[];
  /** JOIN clauses that lead from the write `w` and its answer `a.body` to the row. */
  readonly rows: string;
  /** The ID of the row, for whoever reads the violation. */
  readonly id: string;
  readonly members: Members;
  /** The JSON object whose members are compared; the answer, unless `rows` leads to an object within it. */
  readonly answer?: string;
};

/**
 * A query of the rows that do not agree with an answer, with the names of the members in which they differ. An answer is
 * compared in the members that it has: earlier releases answered fewer.
 */
export function differences({ operations, rows, id, members, answer = 'a.body' }: Comparison): string {
  const names = Object.entries(members).map(([name, member]) => {
    const { value, of } = typeof member === 'string' ? { value: member, of: undefined } : member;
    const now = name.endsWith('At')
      ? // Answers have milliseconds.
        `(${answer} ->> '${name}')::timestamptz IS DISTINCT FROM date_trunc('milliseconds', ${value})`
      : `${answer} -> '${name}' IS DISTINCT FROM coalesce(to_jsonb(${value}), 'null')`;
    const concerned = of === undefined ? '' : `w.operation IN (${list(of)}) AND `;
    return `CASE WHEN ${concerned}${answer} ? '${name}' AND ${now} THEN '${name}' END`;
  });
  return `
      SELECT w.company_id, w.operation, w.write_id, ${id}::text AS id, d.members
      FROM ${answers(operations)}
      ${rows}
      CROSS JOIN LATERAL (SELECT concat_ws(', ', ${names.join(',\n        ')}) AS members OFFSET 0) AS d
      WHERE w.outcome = 'succeeded' AND w.operation IN (${list(operations)}) AND d.members <> ''`;
}

/** Members of a resource that some operations change, each of them only what its request names. */
type Changes = {
  /** All whose answers have these members. */
  readonly operations: readonly string[];
  /** Those that change some. They lock the row, so that the times at which they were completed are in their order. */
  readonly changing: readonly string[];
  readonly table: string;
  /** The SQL of the value in the row `t`. */
  readonly members: Readonly<Record<string, string>>;
  /** The JSON that stands for a member that was cleared, where that is not null. */
  readonly cleared?: Readonly<Record<string, string>>;
};

/**
 * A query of the rows that do not say what the last answer said, and of the answers that say something else than the one before
 * and the request together: two changes at once lose nothing of each other.
 */
export function changes({ operations, changing, table, members, cleared = {} }: Changes): string {
  const names = Object.keys(members).map((name) => `'${name}'`);
  const ofAll = (object: string) => `(SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}')
          FROM jsonb_each(${object}) AS m WHERE m.key IN (${names.join(', ')}))`;
  const asked = Object.entries(cleared).reduce(
    (sql, [name, value]) =>
      `${sql} || CASE WHEN asked -> '${name}' = 'null' THEN '{"${name}": ${value}}' ELSE '{}' END::jsonb`,
    'asked',
  );
  const now = Object.entries(members).map(([name, value]) => `'${name}', ${value}`);
  return `
      SELECT s.company_id, s.operation, s.write_id, t.id::text, d.members
      FROM (
        SELECT o.*, lag(told) OVER same AS told_before, lead(write_id) OVER same IS NULL AS is_last
        FROM (
          SELECT o.company_id, o.operation, o.write_id, o.completed_at, (o.body ->> 'id')::uuid AS id, ${ofAll('o.body')} AS told,
            CASE WHEN o.operation IN (${list(changing)}) THEN o.asked ELSE '{}' END AS asked
          FROM (${answersOf(operations)}) AS o
        ) AS o
        WINDOW same AS (PARTITION BY company_id, id ORDER BY completed_at)
      ) AS s
      JOIN ${table} t ON t.company_id = s.company_id AND t.id = s.id
      CROSS JOIN LATERAL (
        SELECT string_agg(DISTINCT m.key, ', ') AS members FROM (
          SELECT key, value FROM jsonb_each(jsonb_build_object(${now.join(', ')})) WHERE s.is_last
          UNION ALL
          SELECT key, value FROM jsonb_each(s.told_before || ${asked})
        ) AS m WHERE s.told -> m.key IS DISTINCT FROM m.value
      ) AS d
      WHERE d.members IS NOT NULL`;
}

/**
 * The writes `w` with their answers as `a.body`. OFFSET 0 keeps the planner from parsing the text again for each member; the
 * query that uses it has to name the operations as well.
 */
function answers(operations: readonly string[]): string {
  return `idempotent_writes w
      CROSS JOIN LATERAL (
        SELECT CASE WHEN w.outcome = 'succeeded' AND w.operation IN (${list(operations)})
          THEN convert_from(w.response_body, 'UTF8')::jsonb END AS body OFFSET 0
      ) AS a`;
}

/** A query of the answers, for controls that follow them through time. */
export function answersOf(operations: readonly string[]): string {
  return `SELECT w.company_id, w.write_id, w.operation, w.user_id, w.claimed_at, w.completed_at, a.body,
        w.request -> 'body' AS asked
      FROM ${answers(operations)}
      WHERE w.outcome = 'succeeded' AND w.operation IN (${list(operations)})`;
}

/** As a FROM clause, for what a control has looked at. */
export function writesOf(...operations: readonly string[]): string {
  return `idempotent_writes WHERE outcome = 'succeeded' AND operation IN (${list(operations)})`;
}

function list(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ');
}
