import {
  type Client,
  isGrpcServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import {
  ActivityFailure,
  ApplicationFailure,
  defaultPayloadConverter,
  defineSearchAttributeKey,
  type SearchAttributePair,
  SearchAttributeType,
} from '@temporalio/common';
import { workflowIdOf } from '../activities/identity.ts';
import { FAILURE_TYPES } from '../activities/write-activities.ts';
import {
  GROUP_WORKFLOW_TYPE,
  type GroupItem,
  type GroupResult,
  memoOf,
  type RunResult,
  searchAttributesOf,
  WRITE_WORKFLOW_TYPE,
  type WriteArguments,
  type WriteMemo,
} from '../workflows/messages.ts';

/** The runs of the key workflow of a write, as this process asks Temporal for them. */
export type WriteRuns = {
  /** Starts a run; `exists` when the ID's newest run is open or has completed. Throws {@link TemporalUnavailable}. */
  start(args: WriteArguments, summary: string): Promise<{ readonly runId: string } | 'exists'>;
  /** Starts a group; answers its run. Throws {@link TemporalUnavailable}. */
  startGroup(workflowId: string, items: readonly GroupItem[]): Promise<{ readonly runId: string }>;
  /** Waits a minute for the group to close, as {@link waitUntilClosed} does for a key's run. */
  waitForGroup(workflowId: string, runId: string): Promise<GroupEnd | 'still open'>;
  /** The newest run, or none that Temporal remembers. Throws {@link TemporalUnavailable}. */
  describe(companyId: string, key: string): Promise<RunDescription | undefined>;
  /** Waits a minute for the run to close. Throws {@link TemporalUnavailable} when that cannot be learnt now. */
  waitUntilClosed(companyId: string, key: string, runId: string): Promise<RunEnd | 'still open'>;
  /** What an open run was started with, read from its history. */
  readArguments(companyId: string, key: string, runId: string): Promise<WriteArguments | undefined>;
};

export type RunDescription = {
  readonly workflowId: string;
  readonly runId: string;
  readonly state: 'running' | 'completed' | 'unsuccessful';
  readonly memo: WriteMemo | undefined;
  readonly startedAt: Date;
  readonly closedAt: Date | undefined;
};

/** `rolledBack`: failed by an error that is known to have left nothing. `unproven`: ended in any other way. */
export type RunEnd =
  | { readonly kind: 'result'; readonly result: RunResult }
  | { readonly kind: 'rolledBack' | 'unproven' };

/** Which items left and in which runs they go on; `unproven`: the group ended without a word on its items. */
export type GroupEnd = GroupResult | 'unproven';

/** Temporal did not answer; what was asked of it may have happened nevertheless. */
export class TemporalUnavailable extends Error {
  constructor(cause: unknown) {
    super('Temporal did not answer', { cause });
    this.name = 'TemporalUnavailable';
  }
}

/** One request to Temporal gets this long; a client's own deadline is often shorter and is kept by the waiting. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Longer than any request waits. A connection that is dead is found out earlier, by its keep-alive. */
const LONG_POLL_TIMEOUT_MS = 60_000;
const GROUP_TASK_TIMEOUT_MS = 2_000;
/** Temporal takes 20 KB of details. Keys and operations are ASCII. */
const MAX_DETAILS_BYTES = 16_000;

export function createWriteRuns(client: Client, taskQueue: string): WriteRuns {
  const { workflow, connection } = client;
  return {
    async start(args, summary) {
      try {
        const handle = await connection.withDeadline(Date.now() + REQUEST_TIMEOUT_MS, () =>
          workflow.start(WRITE_WORKFLOW_TYPE, {
            workflowId: workflowIdOf(args.companyId, args.key),
            taskQueue,
            args: [args],
            // A run that failed left nothing to attach to: the same key starts anew, and the row decides.
            workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
            workflowIdConflictPolicy: 'FAIL',
            requestEagerStart: true,
            memo: memoOf(args),
            typedSearchAttributes: Object.entries(searchAttributesOf(args)).map(keyword),
            staticSummary: summary,
          }),
        );
        return { runId: handle.firstExecutionRunId };
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return 'exists';
        throw asUnavailable(error);
      }
    },

    async describe(companyId, key) {
      try {
        const description = await connection.withDeadline(Date.now() + REQUEST_TIMEOUT_MS, () =>
          workflow.getHandle(workflowIdOf(companyId, key)).describe(),
        );
        return {
          workflowId: description.workflowId,
          runId: description.runId,
          state: stateOf(description.status.name),
          memo: description.memo as WriteMemo | undefined,
          startedAt: description.startTime,
          closedAt: description.closeTime,
        };
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return undefined;
        throw asUnavailable(error);
      }
    },

    async waitUntilClosed(companyId, key, runId) {
      const handle = workflow.getHandle<() => Promise<RunResult>>(workflowIdOf(companyId, key), runId, {
        followRuns: false,
      });
      try {
        const result = await connection.withDeadline(Date.now() + LONG_POLL_TIMEOUT_MS, () => handle.result());
        return { kind: 'result', result };
      } catch (error) {
        if (error instanceof WorkflowFailedError) return { kind: isRolledBack(error) ? 'rolledBack' : 'unproven' };
        // Deleted while it ran: its end is not to be learnt any more.
        if (error instanceof WorkflowNotFoundError) return { kind: 'unproven' };
        if (grpcCode(error) === DEADLINE_EXCEEDED) return 'still open';
        throw asUnavailable(error);
      }
    },

    async startGroup(workflowId, items) {
      const companies = new Set(items.map(({ args }) => args.companyId)).size;
      try {
        const handle = await connection.withDeadline(Date.now() + REQUEST_TIMEOUT_MS, () =>
          workflow.start(GROUP_WORKFLOW_TYPE, {
            workflowId,
            taskQueue,
            args: [items],
            requestEagerStart: true,
            // How soon another worker takes a group over whose process was killed.
            workflowTaskTimeout: GROUP_TASK_TIMEOUT_MS,
            staticSummary: `${items.length} writes of ${companies === 1 ? 'one company' : `${companies} companies`}`,
            staticDetails: groupDetails(items),
          }),
        );
        return { runId: handle.firstExecutionRunId };
      } catch (error) {
        throw asUnavailable(error);
      }
    },

    async waitForGroup(workflowId, runId) {
      const handle = workflow.getHandle<() => Promise<GroupResult>>(workflowId, runId, { followRuns: false });
      try {
        return await connection.withDeadline(Date.now() + LONG_POLL_TIMEOUT_MS, () => handle.result());
      } catch (error) {
        if (error instanceof WorkflowFailedError || error instanceof WorkflowNotFoundError) return 'unproven';
        if (grpcCode(error) === DEADLINE_EXCEEDED) return 'still open';
        throw asUnavailable(error);
      }
    },

    async readArguments(companyId, key, runId) {
      const { history } = await connection.withDeadline(Date.now() + REQUEST_TIMEOUT_MS, () =>
        client.workflowService.getWorkflowExecutionHistory({
          namespace: client.options.namespace,
          execution: { workflowId: workflowIdOf(companyId, key), runId },
          maximumPageSize: 1,
        }),
      );
      const payload = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0];
      return payload == null ? undefined : defaultPayloadConverter.fromPayload<WriteArguments>(payload);
    },
  };
}

function keyword([name, value]: [string, string]): SearchAttributePair {
  return { key: defineSearchAttributeKey(name, SearchAttributeType.KEYWORD), value };
}

/** What people see of a group in Temporal's UI: whose writes travel in it, by their keys. */
function groupDetails(items: readonly GroupItem[]): string {
  const lines = items.map(({ args }) => `- ${args.companyId} \`${args.key}\` ${args.operation}`);
  let kept = lines.length;
  let bytes = lines.reduce((sum, line) => sum + line.length + 1, 0);
  while (bytes > MAX_DETAILS_BYTES) {
    kept -= 1;
    bytes -= (lines[kept]?.length ?? 0) + 1;
  }
  const rest = kept < lines.length ? [`- and ${lines.length - kept} more`] : [];
  return [...lines.slice(0, kept), ...rest].join('\n');
}

function stateOf(status: string): RunDescription['state'] {
  if (status === 'RUNNING' || status === 'CONTINUED_AS_NEW' || status === 'PAUSED') return 'running';
  return status === 'COMPLETED' ? 'completed' : 'unsuccessful';
}

/** Only the activity's own word counts: a run that was ended from outside may have a transaction under way. */
function isRolledBack({ cause }: WorkflowFailedError): boolean {
  return (
    cause instanceof ActivityFailure &&
    cause.cause instanceof ApplicationFailure &&
    (cause.cause.type === FAILURE_TYPES.bug || cause.cause.type === FAILURE_TYPES.rolledBack)
  );
}

function asUnavailable(error: unknown): unknown {
  // INVALID_ARGUMENT and its like are our own mistakes and no outage.
  return OUTAGE_CODES.has(grpcCode(error) ?? 0) ? new TemporalUnavailable(error) : error;
}

/** The SDK wraps what gRPC says in an error of its own. */
function grpcCode(error: unknown): number | undefined {
  if (isGrpcServiceError(error)) return error.code;
  return error instanceof Error && isGrpcServiceError(error.cause) ? error.cause.code : undefined;
}

const DEADLINE_EXCEEDED = 4;
/** gRPC status codes: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE. */
const OUTAGE_CODES = new Set([1, 2, DEADLINE_EXCEEDED, 8, 10, 13, 14]);
