/**
 * What travels between the API, Temporal and the workers: plain JSON only (no bigint, no dates, no parsed objects).
 *
 * Terms: a *write* is one intent, (company, key). A *submission* is one attempt of an API process to have a write made;
 * its ID tells a first answer from a replay. A *run* is one execution of the workflow that a write's ID names.
 */

export const WRITE_WORKFLOW_TYPE = 'write';
export const GROUP_WORKFLOW_TYPE = 'writeGroup';
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
};

/** The request after validation, with constant defaults filled in, in wire form. */
export type WireInput = {
  readonly params: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
};

/** How the activity is attempted. It travels in the arguments, so that a replayed history never sees another policy. */
export type AttemptPolicy = {
  readonly startToCloseMs: number;
  readonly scheduleToCloseMs: number;
  readonly initialIntervalMs: number;
  readonly backoffCoefficient: number;
  readonly maximumIntervalMs: number;
  /** Up to here a backoff is slept within the workflow task; a longer one becomes a durable timer. */
  readonly localRetryThresholdMs: number;
  readonly maximumAttempts?: number;
};

/**
 * What a run returns. `mismatch` is a result of this run, not an outcome of the write: the key belongs to another
 * request. The body never travels through Temporal: the row in Postgres has it.
 */
export type RunResult = {
  readonly outcome: 'succeeded' | 'rejected' | 'cancelled' | 'mismatch';
  readonly statusCode: number;
  /** Null for a cancelled key, of which no request is known. */
  readonly writeId: string | null;
  /** True when this run's own transaction made the outcome. */
  readonly first: boolean;
};

/** What the workflow tells the activity beside the arguments, from its own history. */
export type RunFacts = {
  /** When the run was started, by Temporal's clock; RFC 3339. */
  readonly requestedAt: string;
};

export type WriteActivities = {
  runOperation(args: WriteArguments, facts: RunFacts): Promise<RunResult>;
  runGroup(items: readonly GroupItem[], facts: RunFacts): Promise<{ readonly left: readonly number[] }>;
};

/** A write that travels in a group, with what it needs should it leave and go on by itself. */
export type GroupItem = {
  readonly args: WriteArguments;
  readonly workflowId: string;
  readonly summary: string;
};

/**
 * What a group returns: the items that got no outcome in their one attempt, by position, each with the run that it goes
 * on in; null when its key already had one. All others have their row.
 */
export type GroupResult = { readonly left: readonly { readonly index: number; readonly runId: string | null }[] };

/** What a duplicate reads from the run it met, without its input. */
export type WriteMemo = {
  readonly fingerprint: string;
  readonly schemaVersion: number;
  readonly operation: string;
  readonly userId: string;
  readonly requestId: string;
};

export function memoOf(args: WriteArguments): WriteMemo {
  const { fingerprint, schemaVersion, operation } = args;
  return { fingerprint, schemaVersion, operation, userId: args.actor.userId, requestId: args.request.id };
}

/**
 * `{companyId}:{key}`, or `{companyId}:~{digest}` for a key outside the alphabet that reads well in a URL and a list.
 * `~` is outside that alphabet, so the two forms cannot meet; the longest is 237 bytes, below Temporal's 255.
 *
 * @param sha256Base64Url hashes the key; handed in because workflow code has no crypto module.
 */
export function writeWorkflowId(companyId: string, key: string, sha256Base64Url: (text: string) => string): string {
  return /^[A-Za-z0-9._:-]{1,200}$/.test(key) ? `${companyId}:${key}` : `${companyId}:~${sha256Base64Url(key)}`;
}
