import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { ActivityFailure, ApplicationFailure, defaultPayloadConverter } from '@temporalio/common';
import { crashPoint } from '../../activities/crash-points.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { callWithin } from '../../worker/call-within.ts';
import { GRPC, grpcCode } from '../../worker/grpc.ts';
import { readPayloads } from '../../worker/payloads/read-payloads.ts';
import {
  LONG_POLL_TIMEOUT_MS,
  REQUEST_TIMEOUT_MS,
  type RunState,
  type RunTarget,
  stateOf,
} from '../../worker/temporal-runs.ts';
import { asUnavailable } from '../../worker/temporal-unavailable.ts';
import {
  isRollbackProof,
  isRunResult,
  PENDING_APPROVAL,
  type RunResult,
  WRITE_WORKFLOW_TYPE,
  type WriteArguments,
  type WriteMemo,
} from '../../workflows/messages.ts';
import { isRefused } from '../../workflows/refused.ts';
import { writeStartOptions } from '../../workflows/write-start.ts';

/** What this process asks Temporal about the runs of a write's own workflow. */
export type WriteRuns = {
  /** Starts a run; `exists` when the ID's newest run is open or has completed. Throws {@link TemporalUnavailable}. */
  start(args: WriteArguments, summary: string): Promise<Started>;
  /** The newest run, undefined if Temporal has none. Throws {@link TemporalUnavailable}. */
  describe(companyId: string, idempotencyKey: string): Promise<RunDescription | undefined>;
  /** Waits at most a minute for the run to close; all who wait for it share the question. Throws {@link TemporalUnavailable}. */
  waitUntilClosed(companyId: string, idempotencyKey: string, runId: string): Promise<RunEnd | 'still open'>;
  /** The failed attempts that the history of a run has recorded so far. Throws {@link TemporalUnavailable}. */
  failedAttempts(companyId: string, idempotencyKey: string, runId: string): Promise<FailedAttempts | undefined>;
  /** The arguments of a run, read from its history. */
  readArguments(companyId: string, idempotencyKey: string, runId: string): Promise<WriteArguments | undefined>;
};

/** `eager`: Temporal returned the first workflow task with the response, to the worker of this process. */
export type Started = { readonly runId: string; readonly eager: boolean } | 'exists';

export type RunDescription = {
  readonly workflowId: string;
  readonly runId: string;
  readonly state: RunState;
  readonly memo: WriteMemo | undefined;
  /** It says that it waits for an approval. */
  readonly waits: boolean;
  readonly startedAt: Date;
  readonly closedAt: Date | undefined;
};

/** A run and the request that started it, which is not always the request that is answered with it. */
export type Run = {
  readonly runId: string;
  readonly startedAt: string;
  readonly userId: string;
  readonly requestId: string;
};

/**
 * The history records a failed attempt of a local activity only when its backoff is too long to wait within a workflow
 * task. So this counts the attempts up to the last such backoff.
 */
export type FailedAttempts = { readonly count: number; readonly lastAt: Date };

/** `rolledBack`: failed with an error that proves a rollback. `unproven`: ended in any other way. */
type RunEnd = { readonly kind: 'result'; readonly result: RunResult } | { readonly kind: 'rolledBack' | 'unproven' };

export function createWriteRuns(client: Client, target: RunTarget): WriteRuns {
  const { workflow, connection } = client;
  const questions = new Map<string, Promise<RunEnd | 'still open'>>();

  async function askForEnd(workflowId: string, runId: string): Promise<RunEnd | 'still open'> {
    const handle = workflow.getHandle<() => Promise<RunResult>>(workflowId, runId, { followRuns: false });
    try {
      const result = await callWithin(connection, LONG_POLL_TIMEOUT_MS, () => handle.result());
      return isRunResult(result) ? { kind: 'result', result } : { kind: 'unproven' };
    } catch (error) {
      if (error instanceof WorkflowFailedError) return { kind: isRolledBack(error, runId) ? 'rolledBack' : 'unproven' };
      // Deleted while it ran: its end can no longer be known.
      if (error instanceof WorkflowNotFoundError) return { kind: 'unproven' };
      if (grpcCode(error) === GRPC.deadlineExceeded) return 'still open';
      throw asUnavailable(error);
    }
  }

  return {
    async start(args, summary) {
      crashPoint('start: before');
      try {
        const handle = await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
          workflow.start(WRITE_WORKFLOW_TYPE, {
            ...writeStartOptions({ args, workflowId: workflowIdOf(args.companyId, args.key), summary }),
            ...target,
            workflowIdConflictPolicy: 'FAIL',
            requestEagerStart: true,
          }),
        );
        crashPoint('start: taken');
        return { runId: handle.firstExecutionRunId, eager: handle.eagerlyStarted };
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return 'exists';
        throw asUnavailable(error);
      }
    },

    async describe(companyId, idempotencyKey) {
      try {
        const description = await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
          workflow.getHandle(workflowIdOf(companyId, idempotencyKey)).describe(),
        );
        return {
          workflowId: description.workflowId,
          runId: description.runId,
          state: stateOf(description.status.name),
          memo: toMemo(description.memo),
          waits: description.searchAttributes['Outcome']?.[0] === PENDING_APPROVAL,
          startedAt: description.startTime,
          closedAt: description.closeTime,
        };
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return undefined;
        throw asUnavailable(error);
      }
    },

    waitUntilClosed(companyId, idempotencyKey, runId) {
      const workflowId = workflowIdOf(companyId, idempotencyKey);
      // A question that nobody needs any more cannot be taken back: the SDK's native connection knows no abort.
      const id = `${workflowId}/${runId}`;
      const asked = questions.get(id) ?? askForEnd(workflowId, runId).finally(() => questions.delete(id));
      questions.set(id, asked);
      return asked;
    },

    async failedAttempts(companyId, idempotencyKey, runId) {
      try {
        const { history } = await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
          client.workflowService.getWorkflowExecutionHistoryReverse({
            namespace: client.options.namespace,
            execution: { workflowId: workflowIdOf(companyId, idempotencyKey), runId },
            maximumPageSize: EVENTS_OF_A_RETRY,
          }),
        );
        return lastFailedAttempt(history);
      } catch (error) {
        throw asUnavailable(error);
      }
    },

    async readArguments(companyId, idempotencyKey, runId) {
      const { history } = await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
        client.workflowService.getWorkflowExecutionHistory({
          namespace: client.options.namespace,
          execution: { workflowId: workflowIdOf(companyId, idempotencyKey), runId },
          maximumPageSize: 1,
        }),
      );
      const input = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input;
      const [args] = await readPayloads(client, workflowIdOf(companyId, idempotencyKey), input?.payloads);
      return isRefused(args) ? undefined : (args as WriteArguments | undefined);
    },
  };
}

/** From one marker to the next: its workflow task, the timer of the backoff, and the next task. */
const EVENTS_OF_A_RETRY = 20;

type History = Awaited<ReturnType<Client['workflowService']['getWorkflowExecutionHistoryReverse']>>['history'];

/** Reads the newest marker of the local activity; events come newest first. The SDK defines the form of its data. */
function lastFailedAttempt(history: History): FailedAttempts | undefined {
  for (const { markerRecordedEventAttributes: marker, eventTime } of history?.events ?? []) {
    const data = marker?.markerName === 'core_local_activity' ? marker.details?.['data']?.payloads?.[0] : undefined;
    if (data == null) continue;
    const { attempt } = defaultPayloadConverter.fromPayload<{ attempt?: unknown }>(data);
    const lastAt = new Date(Number(eventTime?.seconds?.toString()) * 1000 + (eventTime?.nanos ?? 0) / 1_000_000);
    if (typeof attempt !== 'number') continue;
    // A marker without a failure is that of the attempt that succeeded.
    const count = marker?.failure == null ? attempt - 1 : attempt;
    return count === 0 ? undefined : { count, lastAt };
  }
  return undefined;
}

/** Undefined where it is not one of ours. */
function toMemo(memo: Readonly<Record<string, unknown>> | undefined): WriteMemo | undefined {
  return typeof memo?.['fingerprint'] === 'string' ? (memo as WriteMemo) : undefined;
}

/** Only a failure that our activity itself reported counts: a run ended from outside may have a transaction running. */
function isRolledBack({ cause }: WorkflowFailedError, runId: string): boolean {
  // The failure of a local activity is the cause itself; that of a regular activity is wrapped.
  const failure = cause instanceof ActivityFailure ? cause.cause : cause;
  return failure instanceof ApplicationFailure && isRollbackProof(failure.details?.[0], runId);
}
