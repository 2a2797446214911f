import type { RunResult, WriteArguments } from './messages.ts';

/** What travels between the outbox relay, the workflows that events start, and their activities: plain JSON only. */

export const WEBHOOKS_WORKFLOW_TYPE = 'webhooks';

/** Beside the queue of the writes: only workers that deliver events poll it. */
export function eventTaskQueue(writeTaskQueue: string): string {
  return `${writeTaskQueue}-events`;
}

/** Named by the first of the events that travel together. */
export function webhooksWorkflowId(companyId: string, batchId: string): string {
  return `webhooks:${companyId}:${batchId}`;
}

export type WebhookBatch = {
  readonly companyId: string;
  readonly batchId: string;
  readonly retry: WebhookRetry;
};

/** It travels in the arguments, so that a replayed history never sees another policy. */
export type WebhookRetry = {
  /** How long after each failed attempt the next one comes; after the last of these none comes. */
  readonly delaysMs: readonly number[];
  /** Nor does one that would come later than this after the event. */
  readonly giveUpAfterMs: number;
};

/** What a registered workflow is started with. */
export type Trigger = { readonly companyId: string; readonly triggerId: string; readonly writeTaskQueue: string };

export type TriggerFacts = { readonly userId: string; readonly payload: Readonly<Record<string, unknown>> };

/** One write of a registered workflow, as an API client would ask for it. */
export type StepWrite = {
  readonly operation: string;
  readonly params: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
  /** Unique among the writes of a trigger: its key is `trigger:{triggerId}:{step}`. */
  readonly step: string;
};

/** What a write workflow is started with, the same that the API starts it with. */
export type PreparedWrite = { readonly args: WriteArguments; readonly workflowId: string; readonly summary: string };

export type DueReminder = { readonly invoiceId: string; readonly step: 1 | 2 | 3 };

/** Why a month is not closed yet; `through` is the day up to which it would be. */
export type MonthCheck = {
  readonly through: string;
  readonly settingsVersion: number;
  readonly alreadyClosed: boolean;
  readonly faults: readonly string[];
};

export type EventActivities = {
  /** Calls the webhook for events of the batch in their order. Null: none is left; else how long until the next attempt. */
  deliverWebhooks(batch: WebhookBatch): Promise<{ readonly waitMs: number | null }>;
  readTrigger(trigger: Trigger): Promise<TriggerFacts>;
  prepareWrite(trigger: Trigger, userId: string, write: StepWrite): Promise<PreparedWrite>;
  /** The outcome of a write that another run has started; fails until it is there. */
  readOutcome(trigger: Trigger, step: string): Promise<RunResult>;
  findDueReminders(trigger: Trigger, asOf: string | null): Promise<readonly DueReminder[]>;
  checkMonth(trigger: Trigger, through: string | null): Promise<MonthCheck>;
};
