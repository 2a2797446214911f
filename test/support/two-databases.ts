import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type pg from 'pg';
import { openDatabase, transaction } from '../../activities/database.ts';
import { fingerprint, workflowIdOf, writeId } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createWriteActivities } from '../../activities/write/activities.ts';
import { runOperation } from '../../activities/write/run-operation.ts';
import { runSet, type SetOperation } from '../../activities/write/run-set.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import type { ChunkOptions, GroupAttempt, GroupFacts, WriteArguments } from '../../workflows/messages.ts';
import { cloneDatabase } from './database.ts';
import { trustOf } from './trusted-fence.ts';

/** The same in each database, so that every ID that follows from a write is the same, too. */
export const COMPANY_ID = '7b1d3c52-7a0e-4b6f-9a2f-0c5f5b6f2e01';

export type Member = 'owner' | 'auditor' | 'stranger';

/** A database with one company, and the ways to write into it: no API, no Temporal. */
export type OneCompany = {
  readonly owner: pg.Pool;
  readonly users: Readonly<Record<Member, string>>;
  /** How many sets came to something. */
  readonly sets: number;
  argumentsOf(write: {
    readonly operation: string;
    readonly key: string;
    readonly params?: Readonly<Record<string, string>>;
    readonly body: Readonly<Record<string, unknown>>;
    readonly actor?: Member;
  }): WriteArguments;
  cancel(key: string): Promise<void>;
  /** In a transaction of its own. */
  runAlone(args: WriteArguments): Promise<void>;
  /** In one transaction; the rows by key of those that it claimed, none where the set came to nothing. */
  runTogether(items: readonly WriteArguments[]): Promise<ReadonlyMap<string, WriteRow>>;
  /** As the activity of a group; the positions of the items without an outcome. */
  runGroup(items: readonly WriteArguments[], operations?: readonly Operation[]): Promise<readonly number[]>;
  /** As the activity of a group that is the chunk of a batch; `isGivenUp`: Temporal no longer waits for it. */
  runChunk(
    items: readonly WriteArguments[],
    options: ChunkOptions & { readonly isGivenUp: boolean },
  ): Promise<GroupAttempt>;
  /** Everything that writes leave, by table, without times, and with users and accounts by their names. */
  everything(): Promise<Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>>;
  close(): Promise<void>;
};

const FACTS = { requestedAt: '2026-03-01T12:00:00.000Z', workflowId: 'group:of-a-test', attempt: 1 };

export async function openOneCompany(): Promise<OneCompany> {
  const clone = await cloneDatabase();
  const database = openDatabase({
    connectionString: clone.appUrl,
    writePoolMax: 8,
    readPoolMax: 1,
    // A lock is waited for half as long: longer than the tests wait for what must not wait for it.
    statementTimeoutMs: 120_000,
    applicationName: 'test',
  });
  const { owner } = clone;
  const users = await createMembers(owner);
  let sets = 0;

  async function runActivity(
    items: readonly WriteArguments[],
    operations: readonly Operation[],
    more: Pick<GroupFacts, 'chunk'>,
    isGivenUp = false,
  ): Promise<GroupAttempt> {
    const { runGroup } = createWriteActivities({
      database,
      operations,
      fence: await trustOf(owner),
      onOutcome: () => undefined,
      onPending: () => undefined,
      onFailedAttempt: () => undefined,
      onUngrouped: () => undefined,
      onLockWait: () => undefined,
      onSet: () => undefined,
      onFailedSet: () => undefined,
      onRefused: () => undefined,
    });
    const group = items.map((args) => ({ args, workflowId: workflowIdOf(args.companyId, args.key), summary: '' }));
    const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
    if (isGivenUp) environment.cancel('TIMED_OUT');
    return (await environment.run(runGroup, group, { requestedAt: FACTS.requestedAt, ...more })) as GroupAttempt;
  }

  return {
    owner,
    users,
    get sets() {
      return sets;
    },
    argumentsOf({ operation, key, params = {}, body, actor = 'owner' }) {
      const input = { params, body };
      return {
        operation,
        companyId: COMPANY_ID,
        key,
        input,
        fingerprint: fingerprint(operation, input),
        schemaVersion: 1,
        policy: {
          startToCloseMs: 15_000,
          scheduleToCloseMs: 60_000,
          initialIntervalMs: 100,
          backoffCoefficient: 2,
          maximumIntervalMs: 1_000,
          localRetryThresholdMs: 5_000,
        },
        actor: { userId: users[actor] },
        request: { id: `request-${key}`, method: 'POST', path: '/api/payments' },
        submissionId: writeId(COMPANY_ID, 'submission', key),
      };
    },
    async cancel(key) {
      await transaction(database.writes, (tx) =>
        tx.query(
          `SELECT cancel_write(p_company => $1, p_key => $2, p_user => $3, p_request_id => 'cancel', p_body => '{}',
             p_route_path => '/api/writes', p_http_method => 'POST')`,
          [COMPANY_ID, key, users.owner],
        ),
      );
    },
    async runAlone(args) {
      const facts = { ...FACTS, writeId: idOf(args) };
      await runOperation({ database, operations: OPERATIONS }, args, facts, { patience: 'patient' });
    },
    async runTogether(items) {
      const [first] = items;
      const operation = OPERATIONS.find(({ name }) => name === first?.operation) as SetOperation;
      const members = items.map((args) => ({ args, writeId: idOf(args) }));
      const rows = await runSet({ database, operations: OPERATIONS }, operation, members, FACTS, { patience: 'brief' });
      if (rows.size > 0) sets += 1;
      return new Map([...rows].map(([{ args }, row]) => [args.key, row]));
    },
    async runGroup(items, operations = OPERATIONS) {
      const { left } = await runActivity(items, operations, {});
      return left;
    },
    runChunk: (items, { setSize, isGivenUp }) => runActivity(items, OPERATIONS, { chunk: { setSize } }, isGivenUp),
    everything: () => readEverything(owner, users),
    async close() {
      await database.close();
      await clone.drop();
    },
  };
}

function idOf({ companyId, operation, key }: WriteArguments): string {
  return writeId(companyId, operation, key);
}

async function createMembers(owner: pg.Pool): Promise<Record<Member, string>> {
  const { rows } = await owner.query(
    "SELECT user_id FROM create_company('Test Ltd', 'owner@example.test', 'USD', $1)",
    [COMPANY_ID],
  );
  const users = { owner: rows[0].user_id as string, auditor: '', stranger: '' };
  for (const member of ['auditor', 'stranger'] as const) {
    const made = await owner.query('SELECT create_user($1) AS id', [`${member}@example.test`]);
    users[member] = made.rows[0].id;
  }
  await owner.query(
    `INSERT INTO memberships (company_id, user_id, roles, created_at)
     SELECT id, $2, '{auditor}', created_at FROM companies WHERE id = $1`,
    [COMPANY_ID, users.auditor],
  );
  return users;
}

/** Columns that tell when, or in which transaction, and not what. */
const WHEN = [
  'created_at',
  'created_xid',
  'xid',
  'claimed_at',
  'completed_at',
  'occurred_at',
  'requested_at',
  'timestamp',
  'execution_duration_ms',
];

/** The tables, each with what orders its rows. `id` of the audit log is a number of the sequence. */
const TABLES = {
  idempotent_writes: 'idempotency_key',
  idempotent_write_audit_log: 'idempotency_key, status, error_code, error_message',
  outbox: 'id',
  customers: 'id',
  invoices: 'id',
  invoice_lines: 'invoice_id, line_number',
  credit_notes: 'id',
  credit_note_lines: 'credit_note_id, line_number',
  refunds: 'id',
  inventory_items: 'id',
  inventory_movements: 'id',
  payments: 'id',
  journal_entries: 'id',
  journal_lines: 'id',
  number_counters: 'kind',
} as const;

export const COMPARED_TABLES: readonly string[] = Object.keys(TABLES);

async function readEverything(owner: pg.Pool, users: Readonly<Record<Member, string>>) {
  const accounts = await owner.query<{ id: string; code: string }>(
    'SELECT id, code FROM accounts WHERE company_id = $1',
    [COMPANY_ID],
  );
  const names = new Map([
    ...Object.entries(users).map(([name, id]) => [id, name] as const),
    ...accounts.rows.map(({ id, code }) => [id, code] as const),
  ]);
  const everything: Record<string, Record<string, unknown>[]> = {};
  for (const [table, order] of Object.entries(TABLES)) {
    const { rows } = await owner.query<Record<string, unknown>>(
      `SELECT * FROM ${table} WHERE company_id = $1 ORDER BY ${order}`,
      [COMPANY_ID],
    );
    everything[table] = rows.map((row) => comparable(table, row, names));
  }
  return everything;
}

function comparable(table: string, row: Readonly<Record<string, unknown>>, names: ReadonlyMap<string, string>) {
  const left = Object.entries(row).filter(([column]) => !WHEN.includes(column));
  return Object.fromEntries(
    left.flatMap(([column, value]) => {
      if (table === 'idempotent_write_audit_log' && column === 'id') return [];
      if (Buffer.isBuffer(value)) return [[column, comparableAnswer(value.toString(), names)]];
      if (typeof value === 'string' && names.has(value)) return [[column, names.get(value)]];
      return [[column, value]];
    }),
  );
}

function comparableAnswer(answer: string, names: ReadonlyMap<string, string>): string {
  return answer
    .replaceAll(/"(createdAt|postedAt)":"[^"]*"/g, '"$1":"…"')
    .replaceAll(/"postedBy":"([^"]*)"/g, (_, id: string) => `"postedBy":"${names.get(id)}"`);
}
