import { workflowIdOf, writeId } from '../activities/identity.ts';
import type { OperationType } from '../activities/operation.ts';

/** A write as its status resource shows it (contract.md, Write resource). */
export type WriteResource = {
  readonly key: string;
  /** Null for a cancelled key, of which no request is known; likewise operation and type. */
  readonly writeId: string | null;
  readonly operation: string | null;
  readonly type: OperationType | null;
  readonly state: 'running' | 'succeeded' | 'rejected' | 'cancelled' | 'failed' | 'unknown';
  readonly status: number | null;
  readonly location: string | null;
  readonly resource: { readonly type: string; readonly id: string; readonly url: string } | null;
  readonly response: unknown;
  readonly actor: { readonly userId: string };
  readonly requestId: string;
  readonly requestedAt: string;
  readonly completedAt: string | null;
  readonly attempts: number;
  readonly workflow: { readonly id: string; readonly runId: string | null; readonly url: string | null } | null;
  readonly timeline: readonly TimelineItem[];
  readonly timelineTruncated?: boolean;
};

export type TimelineItem = {
  readonly at: string;
  readonly kind:
    | 'requested'
    | 'started'
    | 'attempt_failed'
    | 'completed'
    | 'rejected'
    | 'cancelled'
    | 'replayed'
    | 'conflicted'
    | 'run_failed'
    | 'event_recorded'
    | 'event_delivered';
  readonly requestId?: string;
  readonly userId?: string;
  readonly detail?: string;
};

export type Run = { readonly runId: string; readonly startedAt: string };

/** A write whose run is open, from what the run was started with. */
export function runningWrite(
  write: {
    readonly companyId: string;
    readonly key: string;
    readonly operation: string;
    readonly type: OperationType;
    readonly userId: string;
    readonly requestId: string;
  },
  run: Run,
  ui: TemporalUi,
): WriteResource {
  const { key, operation, userId, requestId } = write;
  return {
    key,
    writeId: writeId(write.companyId, operation, key),
    operation,
    type: write.type,
    state: 'running',
    status: null,
    location: null,
    resource: null,
    response: null,
    actor: { userId },
    requestId,
    requestedAt: run.startedAt,
    completedAt: null,
    attempts: 1,
    workflow: workflowLink(write.companyId, key, run.runId, ui),
    timeline: [
      { at: run.startedAt, kind: 'requested', requestId, userId },
      { at: run.startedAt, kind: 'started' },
    ],
  };
}

/** Where Temporal's UI stands, if there is one that people may open. */
export type TemporalUi = { readonly url: string | undefined; readonly namespace: string };

export function workflowLink(companyId: string, key: string, runId: string | null, ui: TemporalUi) {
  const id = workflowIdOf(companyId, key);
  const base = ui.url?.replace(/\/$/, '');
  const run = runId === null ? '' : `/${runId}/history`;
  const url =
    base === undefined ? null : `${base}/namespaces/${ui.namespace}/workflows/${encodeURIComponent(id)}${run}`;
  return { id, runId, url };
}
