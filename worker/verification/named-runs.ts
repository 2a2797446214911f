import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Payload } from '@temporalio/common';
import { POISON_WORKFLOW_TYPE, type PoisonArguments } from '../../workflows/messages.ts';
import { callWithin } from '../call-within.ts';
import { GRPC, serviceCallCode } from '../grpc.ts';
import { readPayloads } from '../payloads/read-payloads.ts';

/** What is read of Temporal by the names of lanes and groups: without visibility, which lags, and without clocks. */
export type NamedRuns = {
  /** The run by that name (the newest without a run ID), undefined if Temporal has none. Throws when it does not answer. */
  read(workflowId: string, runId?: string): Promise<NamedRun | undefined>;
  /** `exists`: a run by that name was first. Throws when Temporal does not answer. */
  poison(workflowId: string, poison: PoisonArguments): Promise<'placed' | 'exists'>;
};

export type NamedRun = {
  readonly type: string;
  readonly runId: string;
  /** RFC 3339, by Temporal's clock. */
  readonly startedAt: string;
  readonly closedAt: string | undefined;
  readonly state: 'open' | 'completed' | 'unsuccessful';
  /** Throws where a payload cannot be decoded. */
  argument(position: number): unknown;
  result(): unknown;
};

const CALL_TIMEOUT_MS = 10_000;

export function createNamedRuns(client: Client, target: { readonly taskQueue: string }): NamedRuns {
  const { workflow, workflowService, connection, options } = client;
  const { namespace } = options;

  async function eventsOf(workflowId: string, runId: string | undefined) {
    const execution = { workflowId, ...(runId === undefined ? {} : { runId }) };
    const request = { namespace, execution, maximumPageSize: 1 };
    const [first, last] = await Promise.all([
      callWithin(connection, CALL_TIMEOUT_MS, () => workflowService.getWorkflowExecutionHistory(request)),
      callWithin(connection, CALL_TIMEOUT_MS, () => workflowService.getWorkflowExecutionHistoryReverse(request)),
    ]);
    return { first: first.history?.events?.[0], last: last.history?.events?.[0] };
  }

  /** A value by its position. What cannot be decoded is told to whoever asks for it. */
  async function valuesOf(workflowId: string, payloads: readonly Payload[] | null | undefined) {
    try {
      const values = await readPayloads(client, workflowId, payloads);
      return (position = 0) => values[position];
    } catch (error) {
      return () => {
        throw error;
      };
    }
  }

  return {
    async read(workflowId, runId) {
      let events: Awaited<ReturnType<typeof eventsOf>>;
      try {
        events = await eventsOf(workflowId, runId);
      } catch (error) {
        if (serviceCallCode(error) === GRPC.notFound) return undefined;
        throw error;
      }
      const started = events.first?.workflowExecutionStartedEventAttributes;
      if (started == null) throw new Error(`The history of ${workflowId} has no beginning`);
      const completed = events.last?.workflowExecutionCompletedEventAttributes;
      const state = completed != null ? 'completed' : hasEnded(events.last) ? 'unsuccessful' : 'open';
      return {
        type: started.workflowType?.name ?? '',
        runId: started.originalExecutionRunId ?? '',
        startedAt: timeOf(events.first),
        closedAt: state === 'open' ? undefined : timeOf(events.last),
        state,
        argument: await valuesOf(workflowId, started.input?.payloads),
        result: await valuesOf(workflowId, completed?.result?.payloads),
      };
    },
    async poison(workflowId, poison) {
      try {
        await callWithin(connection, CALL_TIMEOUT_MS, () =>
          workflow.start(POISON_WORKFLOW_TYPE, {
            workflowId,
            ...target,
            args: [poison],
            memo: { because: poison.because },
            workflowIdReusePolicy: 'REJECT_DUPLICATE',
            workflowIdConflictPolicy: 'FAIL',
            staticSummary:
              poison.because === 'retired'
                ? 'Its process is gone: no group may follow'
                : 'The database came back as another: no group may follow',
          }),
        );
        return 'placed';
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return 'exists';
        throw error;
      }
    },
  };
}

type Event = NonNullable<
  NonNullable<Awaited<ReturnType<Client['workflowService']['getWorkflowExecutionHistory']>>['history']>['events']
>[number];

function hasEnded(event: Event | undefined): boolean {
  return (
    event?.workflowExecutionFailedEventAttributes != null ||
    event?.workflowExecutionTimedOutEventAttributes != null ||
    event?.workflowExecutionTerminatedEventAttributes != null ||
    event?.workflowExecutionCanceledEventAttributes != null ||
    event?.workflowExecutionContinuedAsNewEventAttributes != null
  );
}

function timeOf(event: Event | undefined): string {
  const { seconds, nanos } = event?.eventTime ?? {};
  return new Date(Number(seconds?.toString() ?? 0) * 1_000 + (nanos ?? 0) / 1_000_000).toISOString();
}
