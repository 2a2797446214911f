import { randomUUID } from 'node:crypto';
import type {
  ClosingResult,
  EventActivities,
  PreparedWrite,
  StepWrite,
  Trigger,
  TriggerFacts,
} from '../../workflows/event-messages.ts';
import type { PendingResult, RunResult, Trust, WireInput, WriteArguments } from '../../workflows/messages.ts';
import type { SealActivities } from '../../workflows/seal-messages.ts';
import { openApproval } from '../approvals/approval.ts';
import { checkMonth } from '../controls/check-month.ts';
import { type Pool, type Tx, transaction } from '../database.ts';
import { fingerprint, triggerKey, workflowIdOf } from '../identity.ts';
import { type Operation, parseInput } from '../operation.ts';
import { readAsCompany } from '../read-as-company.ts';
import { callSealed } from '../seal/call-sealed.ts';
import { deliverWebhooks, type WebhookDependencies } from '../webhooks/deliver.ts';
import { ATTEMPT_POLICY } from '../write/attempt-policy.ts';
import { type Fence, requireTrust } from '../write/fence.ts';
import { resultFromExistingRow } from '../write/run-operation.ts';
import { approvalOf, isRequestOf, waitingResult } from '../write/wait-for-approval.ts';
import type { WriteRow } from '../write/write-row.ts';
import { findDueReminders } from './due-reminders.ts';

export type EventActivityDependencies = WebhookDependencies & {
  readonly reads: Pool;
  readonly writes: Pool;
  readonly operations: readonly Operation[];
  readonly fence: Fence;
};

/** The activities of the workflows that events start. */
export function createEventActivities(dependencies: EventActivityDependencies): EventActivities & SealActivities {
  const { reads, writes, operations } = dependencies;
  return {
    deliverWebhooks: (batch) => deliverWebhooks(dependencies, batch),
    callSealed: (call) => callSealed(dependencies, call),
    readTrigger: (trigger) => readAsCompany(reads, trigger.companyId, (tx) => readTrigger(tx, trigger)),
    prepareWrite: async (trigger, userId, write) =>
      prepareWrite(operations, trigger, userId, write, requireTrust(dependencies.fence)),
    readOutcome: (args) => readAsCompany(reads, args.companyId, (tx) => readOutcome(tx, args, operations)),
    findApproval: (args) =>
      readAsCompany(reads, args.companyId, async (tx) => {
        const approval = await approvalOf(tx, args.key);
        if (approval === undefined) return 'none';
        return approval.isOpen ? 'waiting' : 'decided';
      }),
    readRejection: (args) => readAsCompany(reads, args.companyId, (tx) => readRejection(tx, args)),
    findDueReminders: (trigger, asOf) => readAsCompany(reads, trigger.companyId, (tx) => findDueReminders(tx, asOf)),
    checkMonth: (trigger, through) => readAsCompany(reads, trigger.companyId, (tx) => checkMonth(tx, through)),
    keepResult: (trigger, result) => transaction(writes, (tx) => keepResult(tx, trigger, result)),
  };
}

/** A trigger that the database has lost has no result: nobody can read it. */
async function keepResult(tx: Tx, { companyId, triggerId }: Trigger, result: ClosingResult): Promise<void> {
  await tx.query('SELECT enter_company($1)', [companyId]);
  await tx.query(
    `INSERT INTO workflow_results AS r (company_id, trigger_id, result)
     SELECT t.company_id, t.id, $2::jsonb FROM workflow_triggers t WHERE t.company_id = current_company() AND t.id = $1
     ON CONFLICT (company_id, trigger_id) DO UPDATE SET result = excluded.result, recorded_at = excluded.recorded_at
       WHERE NOT r.result @> '{"closed": true}'`,
    [triggerId, JSON.stringify(result)],
  );
}

async function readTrigger(tx: Tx, { triggerId }: Trigger): Promise<TriggerFacts> {
  const [row] = await tx.query<{ user_id: string; payload: TriggerFacts['payload'] }>(
    'SELECT user_id, payload FROM workflow_triggers WHERE company_id = current_company() AND id = $1',
    [triggerId],
  );
  if (row === undefined) throw new Error('Bug! The workflow’s trigger does not exist');
  return { userId: row.user_id, payload: row.payload };
}

/** Builds the arguments with which the API would start the write if the member had sent it. */
function prepareWrite(
  operations: readonly Operation[],
  trigger: Trigger,
  userId: string,
  write: StepWrite,
  stamp: Trust,
): PreparedWrite {
  const operation = operations.find(({ name }) => name === write.operation);
  if (operation === undefined) throw new Error(`Bug! This release has no operation ${write.operation}`);
  const input = parseInput(operation, write);
  const wire = input as WireInput;
  const idempotencyKey = triggerKey(trigger.triggerId, write.step);
  return {
    workflowId: workflowIdOf(trigger.companyId, idempotencyKey),
    summary: operation.summarize(input),
    args: {
      operation: operation.name,
      companyId: trigger.companyId,
      key: idempotencyKey,
      input: wire,
      fingerprint: fingerprint(operation.name, wire),
      schemaVersion: operation.schemaVersion,
      policy: ATTEMPT_POLICY,
      actor: { userId },
      request: { id: trigger.triggerId, method: operation.method, path: pathOf(operation, wire) },
      submissionId: randomUUID(),
      stamp,
    },
  };
}

/** A mismatch where the key belongs to another request: its outcome says nothing of this write. */
async function readOutcome(
  tx: Tx,
  args: WriteArguments,
  operations: readonly Operation[],
): Promise<RunResult | PendingResult> {
  // Before the row: what gets its outcome in between is found by one of the two.
  const approval = openApproval(await approvalOf(tx, args.key));
  const [row] = await tx.query<WriteRow>(
    'SELECT * FROM idempotent_writes WHERE company_id = current_company() AND idempotency_key = $1',
    [args.key],
  );
  // Temporal retries this activity until the write's own run has produced an outcome.
  if (row === undefined && approval !== undefined)
    return waitingResult(approval, isRequestOf(approval, args, operations));
  if (row === undefined) throw new Error('The write has no outcome yet');
  return resultFromExistingRow(row, args, operations);
}

async function readRejection(tx: Tx, { key }: WriteArguments): Promise<string | null> {
  const [row] = await tx.query<Pick<WriteRow, 'response_body'>>(
    `SELECT response_body FROM idempotent_writes
     WHERE company_id = current_company() AND idempotency_key = $1 AND outcome = 'rejected'`,
    [key],
  );
  if (row === undefined) return null;
  const { code } = JSON.parse(row.response_body.toString()) as { readonly code?: string };
  return code ?? null;
}

function pathOf({ path }: Operation, { params }: WireInput): string {
  return path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
}
