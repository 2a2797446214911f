import { randomUUID } from 'node:crypto';
import type {
  EventActivities,
  PreparedWrite,
  StepWrite,
  Trigger,
  TriggerFacts,
} from '../../workflows/event-messages.ts';
import type { RunResult, WireInput } from '../../workflows/messages.ts';
import { checkMonth } from '../controls/check-month.ts';
import type { Pool, Tx } from '../database.ts';
import { fingerprint, workflowIdOf } from '../identity.ts';
import { type Operation, parseInput } from '../operation.ts';
import { readAsCompany } from '../read-as-company.ts';
import { deliverWebhooks, type WebhookDependencies } from '../webhooks/deliver.ts';
import { ATTEMPT_POLICY } from '../write/attempt-policy.ts';
import { findDueReminders } from './due-reminders.ts';

export type EventActivityDependencies = WebhookDependencies & {
  readonly reads: Pool;
  readonly operations: readonly Operation[];
};

/** The activities of the workflows that events start. */
export function createEventActivities(dependencies: EventActivityDependencies): EventActivities {
  const { reads, operations } = dependencies;
  return {
    deliverWebhooks: (batch) => deliverWebhooks(dependencies, batch),
    readTrigger: (trigger) => readAsCompany(reads, trigger.companyId, (tx) => readTrigger(tx, trigger)),
    prepareWrite: async (trigger, userId, write) => prepareWrite(operations, trigger, userId, write),
    readOutcome: (trigger, step) =>
      readAsCompany(reads, trigger.companyId, (tx) => readOutcome(tx, keyOf(trigger, step))),
    findDueReminders: (trigger, asOf) => readAsCompany(reads, trigger.companyId, (tx) => findDueReminders(tx, asOf)),
    checkMonth: (trigger, through) => readAsCompany(reads, trigger.companyId, (tx) => checkMonth(tx, through)),
  };
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
): PreparedWrite {
  const operation = operations.find(({ name }) => name === write.operation);
  if (operation === undefined) throw new Error(`Bug! This release has no operation ${write.operation}`);
  const input = parseInput(operation, write);
  const wire = input as WireInput;
  const idempotencyKey = keyOf(trigger, write.step);
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
    },
  };
}

async function readOutcome(tx: Tx, idempotencyKey: string): Promise<RunResult> {
  const [row] = await tx.query<{ outcome: RunResult['outcome']; status_code: number; write_id: string | null }>(
    `SELECT outcome, status_code, write_id FROM idempotent_writes
     WHERE company_id = current_company() AND idempotency_key = $1`,
    [idempotencyKey],
  );
  // Temporal retries this activity until the write's own run has produced an outcome.
  if (row === undefined) throw new Error('The write has no outcome yet');
  return { outcome: row.outcome, statusCode: row.status_code, writeId: row.write_id, first: false };
}

function keyOf({ triggerId }: Trigger, step: string): string {
  return `trigger:${triggerId}:${step}`;
}

function pathOf({ path }: Operation, { params }: WireInput): string {
  return path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
}
