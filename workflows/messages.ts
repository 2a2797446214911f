/**
 * The messages between the API, Temporal and the workers: plain JSON only (no bigint, no dates, no parsed objects).
 *
 * Terms: a *write* is one intent, (company, key). A *submission* is one attempt of an API process to get the outcome of a
 * write; its ID distinguishes a first answer from a replay. A *run* is one execution of a write's workflow.
 */

export const WRITE_WORKFLOW_TYPE = 'write';
export const GROUP_WORKFLOW_TYPE = 'writeGroup';
export const LANE_WORKFLOW_TYPE = 'lane';
export const POISON_WORKFLOW_TYPE = 'poison';
export const DEFAULT_TASK_QUEUE = 'accubooks-writes';

export type WriteArguments = {
  readonly operation: string;
  readonly companyId: string;
  /** The client's key, unquoted and unescaped: 1–255 printable ASCII characters. */
  readonly key: string;
  readonly input: WireInput;
  /** SHA-256 in hexadecimal over the canonical JSON of `{operation, params, body}`. */
  readonly fingerprint: string;
  /** The version of the operation's schema that the input was validated and fingerprinted with. */
  readonly schemaVersion: number;
  readonly policy: AttemptPolicy;
  readonly actor: { readonly userId: string };
  readonly request: { readonly id: string; readonly method: string; readonly path: string };
  readonly submissionId: string;
  /** What the starting process knew of the database; not in the runs of earlier releases. */
  readonly stamp?: Trust;
};

/**
 * What a process knows of a verified database: under which version, on which incarnation of the server, in which epoch. A
 * claim is refused where version or incarnation is another one now. A run of an earlier epoch may have been answered from a
 * row that is gone.
 */
export type Trust = { readonly version: string; readonly incarnation: string; readonly epoch: string };

/** The epoch of runs without a stamp: before the first loss. */
export const FIRST_EPOCH = '00000000-0000-0000-0000-000000000000';

/** The request after validation, with constant defaults filled in, in wire form. */
export type WireInput = {
  readonly params: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
};

/** How the activity is attempted. Part of the arguments, so that a replayed history always sees its own policy. */
export type AttemptPolicy = {
  readonly startToCloseMs: number;
  readonly scheduleToCloseMs: number;
  readonly initialIntervalMs: number;
  readonly backoffCoefficient: number;
  readonly maximumIntervalMs: number;
  /** Up to this length a backoff runs within the workflow task; a longer one becomes a durable timer. */
  readonly localRetryThresholdMs: number;
  readonly maximumAttempts?: number;
};

/**
 * What a run returns. `mismatch` is a result of this run, not an outcome of the write: the key belongs to another
 * request. The body never travels through Temporal: the row in Postgres has it.
 */
export type RunResult = {
  readonly outcome: 'succeeded' | 'rejected' | 'cancelled' | 'lost' | 'mismatch';
  readonly statusCode: number;
  /** Null for a key that was cancelled: its row names no request. */
  readonly writeId: string | null;
  /** True when this run's own transaction produced the outcome. */
  readonly first: boolean;
};

/** The `Outcome` of a write that waits for its approval, as its state and in Temporal. */
export const PENDING_APPROVAL = 'pending_approval';

/** What an attempt of a run returns whose write waits for its approval: the run waits with it, and then makes another. */
export type PendingResult = {
  readonly outcome: 'pending_approval';
  readonly statusCode: 202;
  readonly writeId: string;
  readonly first: false;
  /** RFC 3339. */
  readonly expiresAt: string;
  /** By the database's clock, which decides; at least 1. */
  readonly expiresInMs: number;
  /** So many people with one of the roles have to approve, and so many have; each has to be met. */
  readonly demands: readonly { readonly roles: readonly string[]; readonly count: number; readonly given: number }[];
};

/** The signal that somebody has decided about the write, or cancelled it: the rows say what. It may be lost, and sent again. */
export const APPROVAL_DECIDED = 'approvalDecided';

/** A run may have been ended with anything. */
export function isRunResult(value: unknown): value is RunResult {
  const { outcome, statusCode } = (value ?? {}) as Partial<RunResult>;
  return typeof outcome === 'string' && typeof statusCode === 'number';
}

/**
 * In the details of a failure after which the run is known to have left nothing. They are sealed: Temporal shows the type of a
 * failure in plain text, and whoever has access to the namespace can end a run with any.
 */
export type RollbackProof = { readonly rolledBackRunId: string };

/** Of this run: an earlier one of the same key may have failed so as well. */
export function isRollbackProof(value: unknown, runId: string): value is RollbackProof {
  return (value as Partial<RollbackProof> | null | undefined)?.rolledBackRunId === runId;
}

/** What the workflow passes to the activity from its own history, besides the arguments. */
export type RunFacts = {
  /** When the run was started, by Temporal's clock; RFC 3339. */
  readonly requestedAt: string;
  /** When a run that had waited for an approval began to attempt it; otherwise it began at once. */
  readonly attemptsSince?: string;
};

/** `stamp`: not in the groups of earlier releases. `chunk`: only in those of batches. */
export type GroupFacts = RunFacts & { readonly stamp?: Trust; readonly chunk?: ChunkOptions };

/** Of a group that is the chunk of a batch. */
export type ChunkOptions = {
  /** So many items share a transaction at most: a short one keeps locks for a short time. */
  readonly setSize: number;
};

/**
 * The positions of the items without an outcome. Only of a chunk: `bugs`, those of them that a retry cannot help, and
 * `approvals`, those that wait for their approval, or have to.
 */
export type GroupAttempt = {
  readonly left: readonly number[];
  readonly bugs?: readonly number[];
  readonly approvals?: readonly number[];
};

/** `stamp`: what the database said of itself at that moment; `at`: RFC 3339, by the clock of the process. */
export type Awake = { readonly stamp: Trust; readonly at: string };

export type WriteActivities = {
  runOperation(args: WriteArguments, facts: RunFacts): Promise<RunResult | PendingResult>;
  /** Of the moment in which a run wakes up. Throws while the database is not verified. */
  wakeUp(): Promise<Awake>;
  runGroup(items: readonly GroupItem[], facts: GroupFacts): Promise<GroupAttempt>;
};

/** A write in a group, with what is needed to start its own workflow if it leaves the group. */
export type GroupItem = {
  readonly args: WriteArguments;
  readonly workflowId: string;
  readonly summary: string;
};

/** What a group returns: the items that got no outcome in their one attempt. All other items have their row. */
export type GroupResult = { readonly left: readonly LeftItem[] };

export type LeftItem = {
  readonly index: number;
  /** Of its own workflow; null when its key already had a run, and for each item of a chunk, which is started as none. */
  readonly runId: string | null;
  /**
   * Only of a chunk. `bug`: an error that a retry cannot fix; it has left nothing. `transient`: it may be tried again, and its
   * row may be there nevertheless, or come yet. `approval`: it needs a run of its own, which can wait for its approval.
   */
  readonly failure?: 'bug' | 'transient' | 'approval';
};

/** A run may have been ended with anything. */
export function isGroupResult(value: unknown): value is GroupResult {
  const left = (value as Partial<GroupResult> | null | undefined)?.left;
  return (
    Array.isArray(left) &&
    left.every((item) => Number.isInteger(item?.index) && (item.runId === null || typeof item.runId === 'string'))
  );
}

/** The argument of a lane's run. */
export type LaneArguments = { readonly process: string };

/** The argument of a run that keeps a lane or a group from being started any more. */
export type PoisonArguments = {
  /** Under which the database was verified when the lanes were closed; its next version follows from both. */
  readonly version: string;
  /** Of the server for which the lanes were closed. */
  readonly incarnation: string;
  /** `verification`: the database may have lost writes of earlier groups. `retired`: its process is gone, and nothing is open. */
  readonly because: 'verification' | 'retired';
};

/** The name by which a process registers that it starts groups; `lane` counts from 0. */
export function laneWorkflowId(version: string, lane: number): string {
  return `lane:${version}:${lane}`;
}

/** The name of a lane's group; `group` counts from 1, and none is left out. */
export function groupWorkflowId(version: string, lane: number, group: number): string {
  return `${GROUPS}${version}:${lane}:${group}`;
}

const GROUPS = 'group:';

/** Whether a write of this workflow was made in a group: otherwise it was made in the run of its key. */
export function isGroupWorkflowId(workflowId: string): boolean {
  return workflowId.startsWith(GROUPS);
}

/** What a duplicate reads from the existing run, instead of its whole input. */
export type WriteMemo = {
  readonly fingerprint: string;
  readonly schemaVersion: number;
  readonly operation: string;
  readonly userId: string;
  readonly requestId: string;
  /** Not in the memos of earlier releases. */
  readonly submissionId?: string;
};

export function memoOf(args: WriteArguments): WriteMemo {
  const { fingerprint, schemaVersion, operation, submissionId } = args;
  return { fingerprint, schemaVersion, operation, userId: args.actor.userId, requestId: args.request.id, submissionId };
}

/**
 * `{companyId}:{key}`, or `{companyId}:~{digest}` for a key that has other characters or is too long. `~` is not in the
 * alphabet of the first form, so the two cannot collide; the longest ID is 237 bytes, below Temporal's limit of 255.
 *
 * @param sha256Base64Url hashes the key; a parameter because workflow code has no crypto module.
 */
export function writeWorkflowId(
  companyId: string,
  idempotencyKey: string,
  sha256Base64Url: (text: string) => string,
): string {
  return `${companyId}:${nameOfKey(idempotencyKey, sha256Base64Url)}`;
}

/** A key as a part of a workflow ID. */
export function nameOfKey(key: string, sha256Base64Url: (text: string) => string): string {
  return /^[A-Za-z0-9._:-]{1,200}$/.test(key) ? key : `~${sha256Base64Url(key)}`;
}
