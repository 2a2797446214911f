import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  type WorkflowStartOptions,
} from '@temporalio/client';
import {
  ActivityFailure,
  ApplicationFailure,
  defaultPayloadConverter,
  defineSearchAttributeKey,
  type SearchAttributePair,
  SearchAttributeType,
} from '@temporalio/common';
import { workflowIdOf } from '../../activities/identity.ts';
import { FAILURE_TYPES } from '../../activities/write/activities.ts';
import { GRPC, grpcCode } from '../../worker/grpc.ts';
import {
  memoOf,
  type RunResult,
  searchAttributesOf,
  WRITE_WORKFLOW_TYPE,
  type WriteArguments,
  type WriteMemo,
} from '../../workflows/messages.ts';
import { asUnavailable } from '../http/temporal-unavailable.ts';

/** The runs of the key workflow of a write, as this process asks Temporal for them. */
export type WriteRuns = {
  /** Starts a run; `exists` when the ID's newest run is open or has completed. Throws {@link TemporalUnavailable}. */
  start(args: WriteArguments, summary: string): Promise<Started>;
  /** The newest run, or none that Temporal remembers. Throws {@link TemporalUnavailable}. */
  describe(companyId: string, key: string): Promise<RunDescription | undefined>;
  /** Waits a minute for the run to close. Throws {@link TemporalUnavailable} when that cannot be learnt now. */
  waitUntilClosed(companyId: string, key: string, runId: string): Promise<RunEnd | 'still open'>;
  /** What a run's history tells of attempts that have failed so far. Throws {@link TemporalUnavailable}. */
  failedAttempts(companyId: string, key: string, runId: string): Promise<FailedAttempts | undefined>;
  /** What an open run was started with, read from its history. */
  readArguments(companyId: string, key: string, runId: string): Promise<WriteArguments | undefined>;
};

/** `eager`: its first task came with the answer, to the worker of this process. */
export type Started = { readonly runId: string; readonly eager: boolean } | 'exists';

export type RunDescription = {
  readonly workflowId: string;
  readonly runId: string;
  readonly state: 'running' | 'completed' | 'unsuccessful';
  readonly memo: WriteMemo | undefined;
  readonly startedAt: Date;
  readonly closedAt: Date | undefined;
};

/** A run, and whose request started it: a request that meets it is not told as its first. */
export type Run = {
  readonly runId: string;
  readonly startedAt: string;
  readonly userId: string;
  readonly requestId: string;
};

/**
 * Attempts of a local activity are in the history only where a backoff was too long to be slept within a workflow task:
 * those before the last such one, it included.
 */
export type FailedAttempts = { readonly count: number; readonly lastAt: Date };

/** `rolledBack`: failed by an error that is known to have left nothing. `unproven`: ended in any other way. */
type RunEnd = { readonly kind: 'result'; readonly result: RunResult } | { readonly kind: 'rolledBack' | 'unproven' };

/** One request to Temporal gets this long; a client's own deadline is often shorter and is kept by the waiting. */
export const REQUEST_TIMEOUT_MS = 10_000;
/** Longer than any request waits. A connection that is dead is found out earlier, by its keep-alive. */
export const LONG_POLL_TIMEOUT_MS = 60_000;

/** Whose workers take the runs: those of a queue, and where it names itself, of this release alone. */
export type RunTarget = Pick<WorkflowStartOptions, 'taskQueue' | 'versioningOverride'>;

export function createWriteRuns(client: Client, target: RunTarget): WriteRuns {
  const { workflow, connection } = client;
  return {
    async start(args, summary) {
      try {
        const handle = await connection.withDeadline(Date.now() + REQUEST_TIMEOUT_MS, () =>
          workflow.start(WRITE_WORKFLOW_TYPE, {
            workflowId: workflowIdOf(args.companyId, args.key),
            ...target,
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
        return { runId: handle.firstExecutionRunId, eager: handle.eagerlyStarted };
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
        if (grpcCode(error) === GRPC.deadlineExceeded) return 'still open';
        throw asUnavailable(error);
      }
    },

    async failedAttempts(companyId, key, runId) {
      try {
        const { history } = await connection.withDeadline(Date.now() + REQUEST_TIMEOUT_MS, () =>
          client.workflowService.getWorkflowExecutionHistoryReverse({
            namespace: client.options.namespace,
            execution: { workflowId: workflowIdOf(companyId, key), runId },
            maximumPageSize: EVENTS_OF_A_RETRY,
          }),
        );
        return lastFailedAttempt(history);
      } catch (error) {
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

/** From one marker to the next: its workflow task, the timer of the backoff, and the next task. */
const EVENTS_OF_A_RETRY = 20;

type History = Awaited<ReturnType<Client['workflowService']['getWorkflowExecutionHistoryReverse']>>['history'];

/** Reads the newest marker of the local activity, newest event first; the form of its data is the SDK's own. */
function lastFailedAttempt(history: History): FailedAttempts | undefined {
  for (const { markerRecordedEventAttributes: marker, eventTime } of history?.events ?? []) {
    const data = marker?.markerName === 'core_local_activity' ? marker.details?.['data']?.payloads?.[0] : undefined;
    if (data == null) continue;
    const { attempt } = defaultPayloadConverter.fromPayload<{ attempt?: unknown }>(data);
    const lastAt = new Date(Number(eventTime?.seconds?.toString()) * 1000 + (eventTime?.nanos ?? 0) / 1_000_000);
    if (typeof attempt !== 'number') continue;
    // A marker without a failure is that of the attempt that came through.
    const count = marker?.failure == null ? attempt - 1 : attempt;
    return count === 0 ? undefined : { count, lastAt };
  }
  return undefined;
}

function stateOf(status: string): RunDescription['state'] {
  if (status === 'RUNNING' || status === 'CONTINUED_AS_NEW' || status === 'PAUSED') return 'running';
  return status === 'COMPLETED' ? 'completed' : 'unsuccessful';
}

/** Only the activity's own word counts: a run that was ended from outside may have a transaction under way. */
function isRolledBack({ cause }: WorkflowFailedError): boolean {
  // The failure of a local activity comes as it is, that of others wrapped.
  const failure = cause instanceof ActivityFailure ? cause.cause : cause;
  return (
    failure instanceof ApplicationFailure &&
    (failure.type === FAILURE_TYPES.bug || failure.type === FAILURE_TYPES.rolledBack)
  );
}
