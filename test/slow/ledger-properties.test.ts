import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { TransientFailure } from '../../activities/failures.ts';
import { writeId } from '../../activities/identity.ts';
import type { Operation, SetForm } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { withOtherContent } from '../../deploy/contract/requests.ts';
import {
  type Decision,
  decidersOf,
  enoughOf,
  refusalOf,
  type Waiting,
} from '../../deploy/simulate/requests/approvals.ts';
import type { Actor, Books } from '../../deploy/simulate/requests/books.ts';
import {
  expectAnswer,
  expectOutcome,
  type GeneratedRequest,
  isAllowed,
  OPERATION_WEIGHTS,
} from '../../deploy/simulate/requests/generate.ts';
import { type Answer, type ApiClient, createApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { readBooks, shouldBe } from '../support/compare-books.ts';
import { inForm, timeLimit } from '../support/form.ts';
import { newBooks, type RandomStep, randomSteps, requestOf } from '../support/random-requests.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

/** Each run is of a new company in one database, so the controls look at all runs so far. */
const ONE_BY_ONE = { numRuns: inForm({ short: 1, long: 12 }) };
/** What raced cannot be raced again in the same way: nothing to shrink. */
const AT_ONCE = { numRuns: inForm({ short: 1, long: 6 }), endOnFailure: true };
const LIMIT_MS = 90_000;
/** Writes before those that are sent at once, and these. */
const FILLED = inForm({ short: 20, long: 50 });
const SENT = inForm({ short: 40, long: 50 });
const TIMEOUT_MS = 240_000;

const MAX_CUTS = 20;

/** A new company, who sends requests, and what its books should be by then. */
type Subject = {
  readonly company: Company;
  readonly as: Readonly<Record<Actor, ApiClient>>;
  readonly books: Books;
};

/** A write of a run that waits for its approval. */
type WaitingWrite = {
  readonly request: GeneratedRequest;
  readonly key: string;
  readonly asked: Waiting;
  readonly numbers: readonly number[];
};

describe('after any run the books are right', () => {
  let system: System;
  /** Keys whose first attempt fails at its very end, after all its statements. */
  const failOnce = new Set<string>();
  beforeAll(async () => {
    system = await startSystem({ operations: OPERATIONS.map((operation) => failingOnce(operation, failOnce)) });
  });
  afterAll(() => system.stop());

  async function newSubject(): Promise<Subject> {
    const company = await system.company();
    const { rows } = await system.owner.query('SELECT create_user($1) AS id', [`newcomer-${company.id}@example.test`]);
    const newcomer = await signToken({ userId: rows[0].id, companyId: company.id });
    const { owner, admin, accountant, manager } = company.users;
    return {
      company,
      as: {
        owner: company.as('owner'),
        admin: company.as('admin'),
        accountant: company.as('accountant'),
        manager: company.as('manager'),
        newcomer: createApiClient(system.url, newcomer),
      },
      books: newBooks(company.id, {
        owner: owner.id,
        admin: admin.id,
        accountant: accountant.id,
        manager: manager.id,
        newcomer: rows[0].id,
      }),
    };
  }

  test(
    'one request after another, of all operations, is answered as the model of the books says',
    async () => {
      const seen = new Set<string>();
      const check = async (steps: readonly RandomStep[]) => {
        for (const succeeded of await expectAsTheModelSays(steps)) seen.add(succeeded);
      };
      const isOver = timeLimit(LIMIT_MS);
      await fc.assert(
        fc.asyncProperty(randomSteps(60, 80), async (steps) => (isOver() ? undefined : check(steps))),
        ONE_BY_ONE,
      );
      // What chance has left out comes to its turn all the same; in a few runs that would be nearly all.
      if (inForm({ short: true, long: false })) return;
      const names = OPERATION_WEIGHTS.map(([name]) => name);
      for (const operation of names.filter((name) => !seen.has(name))) {
        const [steps] = fc.sample(randomSteps(60, 60), 1);
        await check((steps ?? []).map((step) => ({ ...step, operation, actor: 'owner' })));
      }
      expect([...seen].toSorted()).toEqual(names.toSorted());
    },
    TIMEOUT_MS,
  );

  /** A new company does these; answers the operations of which one has succeeded. */
  async function expectAsTheModelSays(steps: readonly RandomStep[]): Promise<ReadonlySet<string>> {
    const succeeded = new Set<string>();
    const subject = await newSubject();
    const { books } = subject;
    const waiting: WaitingWrite[] = [];
    for (const [index, step] of steps.entries()) {
      // Some are decided about at once, others when the books have changed.
      if (index % 3 === 0) await decideAll(subject, waiting.splice(0), succeeded);
      const key = `step-${index}`;
      const request = requestOf(books, step);
      const wasAllowed = isAllowed(books, request.operation, request.actor);
      const { status, code, apply, demands } = expectAnswer(books, request, key);
      apply?.();
      const answer = await send(subject, request, key);
      if (demands !== undefined) {
        const asked = { by: request.actor, demands, decisions: new Map(), isOpen: true };
        waiting.push({ request, key, asked, numbers: step.numbers });
      }
      const told = `step ${index}: ${request.actor} ${request.operation.name} ${JSON.stringify(request.request)}`;
      expect({ told, ...said(answer) }).toEqual({ told, status, ...(code && { code }), replayed: false });
      if ([200, 201].includes(answer.status)) succeeded.add(request.operation.name);
      if (step.again === 'never' || !wasAllowed) continue;
      const again = await send(subject, step.again === 'same' ? request : otherRequest(request, key), key);
      expect({ told, ...said(again) }).toEqual({ told, ...expectedAgain(books, request, step.again, answer) });
      if (answer.status === 202) continue;
      expect([answer.text, 'another']).toContain(again.replayed ? again.text : 'another');
    }
    await decideAll(subject, waiting, succeeded);
    expect(await readBooks(system.owner, books)).toEqual(shouldBe(books));
    expect(await brokenControls(system.owner)).toEqual({});
    return succeeded;
  }

  /** Whoever can decides about each; each is tried by others before. */
  async function decideAll(subject: Subject, waiting: readonly WaitingWrite[], succeeded: Set<string>): Promise<void> {
    for (const write of waiting) {
      const { request, key } = write;
      const { status, code, apply } = await decideAbout(subject, write);
      apply?.();
      if (status < 300) succeeded.add(request.operation.name);
      const told = `${key}: ${request.actor} ${request.operation.name} once it is decided`;
      const stored = await system.owner.query(
        `SELECT status_code AS status, convert_from(response_body, 'UTF8')::jsonb ->> 'code' AS code FROM idempotent_writes
         WHERE company_id = $1 AND idempotency_key = $2`,
        [subject.company.id, key],
      );
      const own = status < 300 ? stored.rows.map((row) => ({ status: row.status })) : stored.rows;
      expect({ told, stored: own }).toEqual({ told, stored: [{ status, ...(code && { code }) }] });
    }
  }

  /** The answer to the write once it has an outcome. */
  async function decideAbout(subject: Subject, { request, key, asked, numbers }: WaitingWrite) {
    const { books, as } = subject;
    const [first = 0, second = 0] = numbers;
    const decide = async (actor: Actor, decision: Decision) => {
      const refused = refusalOf(books, asked, actor, decision);
      const { status, json } = await as[actor].send('POST', `/api/writes/${key}/${decision}`);
      const told = `${key}: ${actor} decides to ${decision}`;
      expect({ told, code: status === 200 ? undefined : json.code }).toEqual({ told, code: refused });
      if (refused === undefined && !asked.decisions.has(actor)) asked.decisions.set(actor, decision);
    };
    const deciders = decidersOf(books, asked);
    for (const actor of Object.keys(as) as Actor[]) if (!deciders.includes(actor)) await decide(actor, 'approve');
    const enough = enoughOf(
      books,
      asked,
      deciders.toSorted((one, other) => (one < other === (first % 2 === 0) ? -1 : 1)),
    );
    if (enough !== undefined && second % 4 !== 0) {
      for (const actor of enough.slice(0, -1)) await decide(actor, 'approve');
      const outcome = expectOutcome(books, request, key);
      await decide(enough.at(-1) as Actor, 'approve');
      asked.isOpen = false;
      return outcome;
    }
    const [decider] = deciders;
    if (decider !== undefined) {
      await decide(decider, 'reject');
      asked.isOpen = false;
      return { status: 409, code: 'approval_rejected', apply: undefined };
    }
    const owner = [...books.members].find(([, roles]) => roles.includes('owner'))?.[0] as Actor;
    expect((await as[owner].send('POST', `/api/writes/${key}/cancel`)).status).toBe(200);
    return { status: 409, code: 'write_cancelled', apply: undefined };
  }

  test(
    'all requests at once, each sent twice, some failing at their end: the controls hold all the same',
    async () => {
      const isOver = timeLimit(LIMIT_MS);
      await fc.assert(
        fc.asyncProperty(randomSteps(FILLED + SENT, FILLED + SENT + 20), fc.nat({ max: 6 }), async (steps, failing) => {
          if (isOver()) return;
          const subject = await newSubject();
          const requests = await fill(subject, steps, FILLED);
          const sent = requests.flatMap((request, index) => {
            const key = `${index}-${subject.company.id}`;
            if (index % 7 === failing) failOnce.add(key);
            // Some come under another key, too: only one of them gets the name, or the money that is due.
            const keys = index % 4 === 0 ? [key, `rival-${index}`] : [key];
            return keys.map((one) => [send(subject, request, one), send(subject, request, one)]);
          });
          for (const pair of sent) {
            const [one, two] = (await Promise.all(pair)) as [Answer, Answer];
            expect([200, 201, 403, 404, 409, 422]).toContain(one.status);
            expect(two.text).toBe(one.text);
            expect(one.replayed).not.toBe(two.replayed);
          }
          expect(await brokenControls(system.owner)).toEqual({});
        }),
        AT_ONCE,
      );
      expect(failOnce.size).toBe(0);
    },
    TIMEOUT_MS,
  );

  test('what the metrics count is what the audit log has', async () => {
    const { rows } = await system.owner.query(
      `SELECT operation_name AS operation, status, count(*)::int AS n FROM idempotent_write_audit_log
       GROUP BY 1, 2 ORDER BY 1, 2`,
    );
    const page = await (await fetch(`${system.url}/metrics`)).text();
    const counted = [
      ...page.matchAll(/^idempotent_writes_total\{operation="(\w+)",type="[\w-]+",status="(\w+)"\} (\d+)$/gm),
    ]
      .map(([, operation, status, n]) => ({ operation, status, n: Number(n) }))
      .filter(({ n }) => n > 0); // every counter is there from the start
    const byName = (a: { operation: string; status: string }, b: typeof a) =>
      `${a.operation} ${a.status}` < `${b.operation} ${b.status}` ? -1 : 1;
    expect((counted as typeof rows).sort(byName)).toEqual(rows.sort(byName));
  });

  test('connections cut in the middle of it change nothing of that', async () => {
    const subject = await newSubject();
    const count = inForm({ short: 150, long: 240 });
    const [steps] = fc.sample(randomSteps(count, count), 1);
    const requests = await fill(subject, steps ?? [], FILLED);
    const answered = new AbortController();
    const cutting = cutConnections(system.environment['DATABASE_URL'] as string, answered.signal);
    const answers = await Promise.all(requests.map((request, index) => settled(subject, request, `cut-${index}`)));
    answered.abort();
    expect(await cutting).toBeGreaterThan(2);
    for (const answer of answers) expect([200, 201, 403, 404, 409, 422]).toContain(answer.status);
    expect(await brokenControls(system.owner)).toEqual({});
  });
});

/** The first so many steps are done one after the other, so that there is something; of the others, what they would send then. */
async function fill(subject: Subject, steps: readonly RandomStep[], count: number) {
  const { books } = subject;
  // Who may do what stays as it is, also without an approval, and what is sent at once is sent by one who may do everything.
  const ofOwner = steps
    .filter(({ operation }) => !['grantUserAccess', 'updateApprovalPolicies'].includes(operation))
    .map((step) => ({ ...step, actor: 'owner' as const }));
  for (const [index, step] of ofOwner.slice(0, count).entries()) {
    const request = requestOf(books, step);
    expectAnswer(books, request, `fill-${index}`).apply?.();
    await send(subject, request, `fill-${index}`);
  }
  return ofOwner.slice(count).map((step) => requestOf(books, step));
}

function send({ as }: Subject, { operation, actor, path, request }: GeneratedRequest, key: string): Promise<Answer> {
  return as[actor].post(path, request.body, { key, method: operation.method });
}

/** Who may no longer do it gets no stored answer either: what they did may have been to take their own role away. */
function expectedAgain(
  books: Books,
  { operation, actor }: GeneratedRequest,
  again: RandomStep['again'],
  first: Answer,
) {
  if (!isAllowed(books, operation, actor)) {
    return { status: 403, code: books.members.has(actor) ? 'forbidden' : 'not_a_member', replayed: false };
  }
  if (again === 'same') return { ...said(first), replayed: first.status !== 202 };
  return { status: 422, code: 'idempotency_key_reused', replayed: false };
}

/** The same key with other content, as valid as it was. */
function otherRequest(generated: GeneratedRequest, key: string): GeneratedRequest {
  const { operation, path, request } = generated;
  const write = { method: operation.method, path, token: '', key, body: JSON.stringify(request.body) };
  const other = withOtherContent(operation, write);
  return { ...generated, path: other.path, request: { ...request, body: JSON.parse(other.body) } };
}

/** What the answer says, as far as the model knows. */
function said({ status, json, replayed }: Answer) {
  return { status, ...(status < 300 ? {} : { code: json.code as string }), replayed };
}

/** Sends it with the same key until there is a final answer, as a client does. */
async function settled(subject: Subject, request: GeneratedRequest, key: string): Promise<Answer> {
  for (;;) {
    const answer = await send(subject, request, key);
    if (answer.status < 500 && answer.status !== 202) return answer;
    expect(answer.json.retryable ?? true).toBe(true);
  }
}

/** Cuts connections that are at work, one every few milliseconds; answers how many. Only a superuser sees which are. */
async function cutConnections(databaseUrl: string, stop: AbortSignal): Promise<number> {
  const superuser = new pg.Client({ connectionString: inject('superuserUrl') });
  await superuser.connect();
  let cut = 0;
  // Not without end: the last write would be cut again and again.
  while (cut < MAX_CUTS && !stop.aborted) {
    const { rowCount } = await superuser.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = $1 AND application_name = 'accubooks-api' AND state <> 'idle' ORDER BY random() LIMIT 1`,
      [new URL(databaseUrl).pathname.slice(1)],
    );
    cut += rowCount ?? 0;
    await sleep(15);
  }
  await superuser.end();
  return cut;
}

/** The operation itself, whose work is undone once for a key that is named, and done again: in a set, and then alone. */
function failingOnce(operation: Operation, keys: Set<string>): Operation {
  const { set } = operation;
  return {
    ...operation,
    ...(set === undefined ? {} : { set: failingSet(set, keys) }),
    async write(tx, input, context) {
      const [row] = await tx.query<{ idempotency_key: string }>(
        'SELECT idempotency_key FROM idempotent_writes WHERE company_id = $1 AND write_id = $2',
        [context.companyId, context.writeId],
      );
      const undone = keys.delete(row?.idempotency_key ?? '');
      const [end] = await Promise.allSettled([operation.write(tx, input, context)]);
      if (undone) throw new TransientFailure('Undone by the test', { mayHaveCommitted: false });
      if (end.status === 'rejected') throw end.reason;
      return end.value;
    },
  };
}

function failingSet(set: SetForm, keys: ReadonlySet<string>): SetForm {
  return {
    ...set,
    decide(state, input, context) {
      const { companyId, operation } = context;
      if ([...keys].some((key) => writeId(companyId, operation, key) === context.writeId)) {
        throw new TransientFailure('Undone by the test', { mayHaveCommitted: false });
      }
      return set.decide(state, input, context);
    },
  };
}
