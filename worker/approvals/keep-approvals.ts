import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Logger } from 'pino';
import { openApproval } from '../../activities/approvals/approval.ts';
import { type Pool, queryOnce } from '../../activities/database.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { readAsCompany } from '../../activities/read-as-company.ts';
import { approvalOf } from '../../activities/write/wait-for-approval.ts';
import { callWithin } from '../call-within.ts';
import { REQUEST_TIMEOUT_MS, stateOf } from '../temporal-runs.ts';
import { signalRun, startRun, type WakeOptions } from './wake-run.ts';

const POLL_MS = 5_000;
const REQUESTS_A_RUN = 100;

type Silent = { readonly company_id: string; readonly idempotency_key: string; readonly task: 'wake' | 'check' };

/**
 * Sees to it that each write that waits for its approval has an open run which knows what was decided, until the signal: wakes
 * those that may not have heard of it, starts those that Temporal has lost, and lets go of the release that began them.
 *
 * @param options `relay`: of the relay's role; `reads`: of the application's
 */
export async function keepApprovals(
  options: WakeOptions & {
    readonly relay: Pool;
    readonly reads: Pool;
    readonly logger: Logger;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { client, relay, reads, logger, signal } = options;

  async function lookAfter({ company_id: companyId, idempotency_key: key, task }: Silent): Promise<void> {
    const workflowId = workflowIdOf(companyId, key);
    const isOpen = await hasOpenRun(client, workflowId);
    if (isOpen && (task === 'check' || (await signalRun(client, workflowId)))) return;
    const approval = openApproval(await readAsCompany(reads, companyId, (tx) => approvalOf(tx, key)));
    if (approval !== undefined) await startRun(options, approval.arguments);
  }

  while (!signal.aborted) {
    try {
      const silent = await queryOnce<Silent>(relay, 'SELECT * FROM silent_approvals($1)', [REQUESTS_A_RUN]);
      for (const request of silent) {
        if (signal.aborted) return;
        await lookAfter(request).catch(async (error: unknown) => {
          await queryOnce(relay, 'SELECT note_silent_approval($1, $2)', [request.company_id, request.idempotency_key]);
          const fields = { err: error, key: request.idempotency_key, task: request.task };
          logger.warn(fields, 'A write that waits for its approval could not be looked after; it is tried again');
        });
      }
    } catch (error) {
      logger.warn({ err: error }, 'Writes that wait for approvals could not be looked after; it is tried again');
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/**
 * A run that waits must not keep the release alive that began it: where it is pinned, the pin is replaced, and from its next
 * task on it is with the current release.
 */
async function hasOpenRun(
  { workflow, workflowService, connection, options }: Client,
  workflowId: string,
): Promise<boolean> {
  try {
    const { status, runId, raw } = await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
      workflow.getHandle(workflowId).describe(),
    );
    if (stateOf(status.name) !== 'running') return false;
    if (isPinned(raw.workflowExecutionInfo?.versioningInfo)) {
      await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
        workflowService.updateWorkflowExecutionOptions({
          namespace: options.namespace,
          workflowExecution: { workflowId, runId },
          workflowExecutionOptions: { versioningOverride: { autoUpgrade: true } },
          updateMask: { paths: ['versioning_override'] },
        }),
      );
    }
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** `VERSIONING_BEHAVIOR_PINNED` of Temporal's API: of the worker that began the run, where it was not started with an override. */
const PINNED = 1;

function isPinned(
  info:
    | { behavior?: number | null; versioningOverride?: { pinned?: object | null; autoUpgrade?: boolean | null } | null }
    | null
    | undefined,
): boolean {
  if (info == null || info.versioningOverride?.autoUpgrade === true) return false;
  return info.versioningOverride?.pinned != null || info.behavior === PINNED;
}
