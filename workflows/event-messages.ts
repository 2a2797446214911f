import type { PendingResult, RunResult, WriteArguments } from './messages.ts';

/** The messages between the outbox relay, the workflows that events start, and their activities: plain JSON only. */

export const WEBHOOKS_WORKFLOW_TYPE = 'webhooks';

/** Separate from the write queue: only workers that deliver events poll it. */
export function eventTaskQueue(writeTaskQueue: string): string {
  return `${writeTaskQueue}-events`;
}

/** `batchId` is the ID of the batch's first event. */
export function webhooksWorkflowId(companyId: string, batchId: string): string {
  return `webhooks:${companyId}:${batchId}`;
}

export type WebhookBatch = {
  readonly companyId: string;
  readonly batchId: string;
  readonly retry: WebhookRetry;
};

/** Part of the arguments, so that a replayed history always sees its own policy. */
export type WebhookRetry = {
  /** The delay after each failed attempt; after the last one there is no further attempt. */
  readonly delaysMs: readonly number[];
  /** No attempt is made later than this after the event's first one. */
  readonly giveUpAfterMs: number;
};

/** The argument of a registered workflow. */
export type Trigger = { readonly companyId: string; readonly triggerId: string; readonly writeTaskQueue: string };

export type TriggerFacts = { readonly userId: string; readonly payload: Readonly<Record<string, unknown>> };

/** One write of a registered workflow, as an API client would send it. */
export type StepWrite = {
  readonly operation: string;
  readonly params: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
  /** Unique among the writes of a trigger: its key is `trigger:{triggerId}:{step}`. */
  readonly step: string;
};

/** The arguments to start a write workflow with, as the API would build them. */
export type PreparedWrite = { readonly args: WriteArguments; readonly workflowId: string; readonly summary: string };

export type DueReminder = { readonly invoiceId: string; readonly step: 1 | 2 | 3 };

/** The check before a period is closed; `through` is its last day, `faults` is empty when it may be closed. */
export type MonthCheck = {
  readonly through: string;
  readonly settingsVersion: number;
  readonly alreadyClosed: boolean;
  /** Sentences for operators. */
  readonly faults: readonly string[];
  /** The same for the company, with what is in the way. Checks of before it was kept do not have it. */
  readonly failed?: readonly FailedControl[];
};

/** What keeps a period from being closed. Null where the control is about no account or currency, and where no amount is wrong. */
export type FailedControl = {
  readonly control: string;
  readonly accountCode: string | null;
  readonly currency: string | null;
  /** Minor units; a string of digits beyond ±(2^53 − 1). */
  readonly expected: number | string | null;
  readonly found: number | string | null;
  readonly detail: string;
  /** URLs of what is in the way, at most the first 20. */
  readonly resources: readonly string[];
};

/** What `closeMonth` has come to, as the trigger's resource shows it. */
export type ClosingResult =
  | { readonly closed: true; readonly through: string }
  | { readonly closed: false; readonly through: string; readonly failed: readonly FailedControl[] };

export type EventActivities = {
  /** Calls the webhook for the events of the batch in order. `waitMs`: the time until the next attempt; null when done. */
  deliverWebhooks(batch: WebhookBatch): Promise<{ readonly waitMs: number | null }>;
  readTrigger(trigger: Trigger): Promise<TriggerFacts>;
  prepareWrite(trigger: Trigger, userId: string, write: StepWrite): Promise<PreparedWrite>;
  /** The outcome of a write that another run has started, a mismatch, or that it waits for its approval; fails until there is one. */
  readOutcome(args: WriteArguments): Promise<RunResult | PendingResult>;
  /** Whether a write waits for its approval, or has waited and has its outcome. */
  findApproval(args: WriteArguments): Promise<'waiting' | 'decided' | 'none'>;
  /** By which code a write was rejected; null where it was not. */
  readRejection(args: WriteArguments): Promise<string | null>;
  findDueReminders(trigger: Trigger, asOf: string | null): Promise<readonly DueReminder[]>;
  checkMonth(trigger: Trigger, through: string | null): Promise<MonthCheck>;
  /** Keeps what the workflow has come to, for as long as its trigger. The last word counts, and that the books are closed. */
  keepResult(trigger: Trigger, result: ClosingResult): Promise<void>;
};
