import type pg from 'pg';
import type { Answer } from './client.ts';
import type { Asked, Body, KeyModel, SubmitModel, SubmitRun } from './submit-commands.ts';

/** What the database holds of one key. */
type Kept = {
  readonly key: string;
  readonly outcome: 'succeeded' | 'rejected' | 'cancelled';
  readonly status: number;
  readonly text: string;
  readonly location: string | null;
  readonly body: Body | null;
  readonly rows: number;
  readonly events: number;
  readonly firsts: number;
  readonly replays: number;
  readonly mismatches: number;
};

/** Everything in which the answers, the model and the database do not agree; empty when all is right. */
export async function contradictions(
  model: SubmitModel,
  run: SubmitRun,
  asked: readonly Asked[],
  cancelled: readonly { readonly key: string; readonly answer: Answer }[],
): Promise<string[]> {
  const kept = await readKept(run.system.owner, run.company.id, run.name);
  const found = run.unfounded
    // After a run that was ended or has failed, another body may have started its own by the time Temporal was asked.
    .filter(({ key, found: what }) => what === 'no run' || !mayBeFollowed(model.keys.get(key)))
    .map(({ key, found: what }) => `${key}: answered 202 without a run of its own: ${what}`);
  for (const one of asked) {
    const known = model.keys.get(one.key);
    const complaint = known === undefined ? 'was never sent' : judge(one, known, kept.get(one.key), model);
    if (complaint !== undefined) found.push(`${tell(one)}: ${complaint}`);
  }
  for (const { key, answer } of cancelled) {
    const isCancelled = kept.get(key)?.outcome === 'cancelled';
    const expected = isCancelled ? [200, undefined] : [409, 'too_late'];
    // A 503 says nothing of the key: the client asks again.
    const told = answer.json.code !== 'storage_unavailable';
    if (told && (answer.status !== expected[0] || answer.json.code !== expected[1])) {
      found.push(`${key}: cancelled with ${answer.status} ${answer.json.code}, and is ${kept.get(key)?.outcome}`);
    }
  }
  for (const key of model.keys.keys()) {
    const answers = asked.filter((one) => one.key === key).map(({ answer }) => answer);
    found.push(...countsOf(kept.get(key), answers).map((complaint) => `${key}: ${complaint}`));
  }
  const strays = await countStrays(run.system.owner, run.company.id, run.name);
  if (strays > 0) found.push(`${strays} customers of no write`);
  return found;
}

function mayBeFollowed(known: KeyModel | undefined): boolean {
  return known?.ended === true || known?.troubles.has('bug') === true;
}

/** What is wrong with one answer. */
function judge(
  { answer, body, prefer }: Asked,
  known: KeyModel,
  kept: Kept | undefined,
  model: SubmitModel,
): string | undefined {
  const { status, json, replayed } = answer;
  const code: string = json.code ?? '';
  const provisional =
    status === 202 || code === 'idempotency_in_progress' || code === 'idempotency_key_reused' || status >= 500;
  if (provisional && replayed) return 'carries the marker, and is not final';
  if (status === 202) return undefined;
  switch (code) {
    case 'idempotency_in_progress':
      return prefer === 'wait=0' ? undefined : 'has not waited';
    case 'idempotency_key_reused':
      return known.bodies.size > 1 ? undefined : 'there was no other body';
    case 'write_failed':
      return known.troubles.has('bug') ? undefined : 'nothing was wrong with it';
    case 'outcome_unknown':
      return known.ended || mayBeUnstarted(prefer, model) ? undefined : 'no one has ended its run';
    // A lookup that came too late on a busy machine: it says nothing of the write, and the client asks again.
    case 'storage_unavailable':
      return undefined;
    case 'overloaded':
    case 'orchestrator_unavailable':
      return mayBeUnstarted(prefer, model) ? undefined : 'Temporal was there all the time';
    default:
      return judgeFinal(answer, body, kept);
  }
}

function mayBeUnstarted(prefer: Asked['prefer'], { linkWasFrozen }: SubmitModel): boolean {
  return linkWasFrozen || prefer !== 'wait=5';
}

function judgeFinal(answer: Answer, body: Body, kept: Kept | undefined): string | undefined {
  if (kept === undefined) return 'is final, and there is no row';
  if (kept.outcome === 'cancelled' && !answer.replayed) return 'is cancelled, and carries no marker';
  if (kept.outcome !== 'cancelled' && kept.body !== body) return `has the answer of the body ${kept.body}`;
  const said = [answer.status, answer.text, answer.headers.get('location')];
  const stored = [kept.status, kept.text, kept.location];
  return JSON.stringify(said) === JSON.stringify(stored)
    ? undefined
    : `is not what is stored: ${JSON.stringify(stored)}`;
}

/** What is wrong with the number of things under one key. */
function countsOf(kept: Kept | undefined, answers: readonly Answer[]): string[] {
  if (kept === undefined) return answers.length === 0 ? [] : ['has no outcome in the end'];
  const expected = kept.outcome === 'succeeded' ? 1 : 0;
  const unmarked = answers.filter(({ status, json, replayed }) => {
    const isFinal = status < 500 && status !== 202 && !TRANSIENT_CODES.includes(json.code);
    return isFinal && !replayed;
  }).length;
  const marked = answers.filter(({ replayed }) => replayed).length;
  const mismatched = answers.filter(({ json }) => json.code === 'idempotency_key_reused').length;
  // On a busy machine a request may be refused after its replay or mismatch has been written down.
  const unsure = answers.filter(({ json }) => json.code === 'storage_unavailable').length;
  const fits = (rows: number, told: number) => rows >= told && rows <= told + unsure;
  return [
    unmarked > 1 ? `${unmarked} first answers` : '',
    kept.rows !== expected ? `${kept.rows} customers` : '',
    kept.events !== expected ? `${kept.events} events` : '',
    kept.firsts !== expected ? `${kept.firsts} audit rows of a first` : '',
    !fits(kept.replays, marked) ? `${kept.replays} audit rows of ${marked} replays` : '',
    !fits(kept.mismatches, mismatched) ? `${kept.mismatches} audit rows of ${mismatched} mismatches` : '',
  ].filter((complaint) => complaint !== '');
}

const TRANSIENT_CODES = ['idempotency_in_progress', 'idempotency_key_reused'];

async function readKept(owner: pg.Pool, companyId: string, name: string): Promise<Map<string, Kept>> {
  const { rows } = await owner.query<Kept>(
    `SELECT w.idempotency_key AS key, w.outcome, w.status_code AS status, convert_from(w.response_body, 'UTF8') AS text,
       w.location, split_part(w.request -> 'body' ->> 'name', ' ', 2) AS body,
       (SELECT count(*) FROM customers c WHERE c.company_id = $1 AND c.id = w.write_id)::int AS rows,
       (SELECT count(*) FROM outbox o WHERE o.company_id = $1 AND o.write_id = w.write_id)::int AS events,
       count(a.*) FILTER (WHERE a.status = 'new')::int AS firsts,
       count(a.*) FILTER (WHERE a.status = 'replayed')::int AS replays,
       count(a.*) FILTER (WHERE a.error_code = 'idempotency_key_reused')::int AS mismatches
     FROM idempotent_writes w
     LEFT JOIN idempotent_write_audit_log a ON a.company_id = $1 AND a.idempotency_key = w.idempotency_key
     WHERE w.company_id = $1 AND starts_with(w.idempotency_key, $2)
     GROUP BY w.company_id, w.idempotency_key`,
    [companyId, `${name}-`],
  );
  return new Map(rows.map((row) => [row.key, row]));
}

async function countStrays(owner: pg.Pool, companyId: string, name: string): Promise<number> {
  const { rows } = await owner.query(
    `SELECT count(*)::int AS strays FROM customers c
     WHERE c.company_id = $1 AND starts_with(c.name, $2) AND NOT EXISTS (
       SELECT FROM idempotent_writes w WHERE w.company_id = $1 AND w.write_id = c.id AND w.outcome = 'succeeded')`,
    [companyId, `${name}-`],
  );
  return rows[0].strays;
}

function tell({ key, body, prefer, answer }: Asked): string {
  return `${key} ${body} ${prefer} answered ${answer.status} ${answer.json.code ?? ''}${answer.replayed ? ' (replay)' : ''}`;
}
