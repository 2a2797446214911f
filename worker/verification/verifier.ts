import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Database } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import { callWithin } from '../call-within.ts';
import type { ProcessFence, Verification } from '../fence.ts';
import { call } from './call.ts';
import { compareKeyRuns } from './key-runs.ts';
import { createNamedRuns } from './named-runs.ts';
import { lease, reconcile } from './reconcile.ts';
import { retireLanes } from './retire-lanes.ts';

export type VerifierOptions = {
  readonly fence: ProcessFence;
  readonly database: Database;
  readonly client: Client;
  readonly target: { readonly taskQueue: string };
  readonly operations: readonly Operation[];
  readonly logger: Logger;
  /** The lanes that this process has registered under a version. */
  lanesOf?(version: string): readonly number[];
};

export type Verifier = { close(): Promise<void> };

/** Temporal's visibility lags by seconds: what had completed before the loss is listed after this time. */
const LIST_AFTER_MS = 60_000;
const LOOK_MS = 5_000;
const RETIRE_EVERY_MS = 60_000;
const NAMESPACE_TIMEOUT_MS = 5_000;
const CLOSE_LIMIT_MS = 2_000;

/**
 * What a process does for its database while it is not verified: it confirms that it misses no row of its own, and takes part
 * in the search for what is missing. Afterwards, and once a minute, it does what the last verification has left.
 */
export function startVerifier(options: VerifierOptions): Verifier {
  const { fence, database, client, target, operations, logger } = options;
  const pool = database.reads;
  const runs = createNamedRuns(client, target);
  const dependencies = { pool, runs, process: fence.process, retentionMs: () => retentionMs(client) };
  let working: Promise<void> | undefined;
  let isClosed = false;
  let retiredAtMs = performance.now();
  let checkedVersion = fence.verification?.version;

  async function work(): Promise<void> {
    const { state, verification } = fence;
    if (verification === undefined || verification.isStandby) return;
    if (state === 'verifying') {
      // An old primary, which others have left: there is nothing to open here.
      if (verification.incarnation === verification.live) return;
      if (!(await confirm(verification))) return fence.refresh();
      const end = await reconcile(dependencies, verification);
      if (end.kind === 'continued') logger.info(end, 'The database goes on: nothing is missing');
      return fence.refresh();
    }
    if (state !== 'trusted') return;
    if (!(await recheck(verification))) return fence.refresh();
    if (verification.keyRunsSince !== null && verification.verifiedAgeMs > LIST_AFTER_MS) {
      await list(verification, verification.keyRunsSince);
    }
    if (performance.now() - retiredAtMs > RETIRE_EVERY_MS) {
      retiredAtMs = performance.now();
      await retireLanes(pool, runs, verification);
    }
  }

  /** A process that was frozen, or away, may find the database open again: the others did not know what it has answered. */
  async function recheck({ version, live }: Verification): Promise<boolean> {
    if (checkedVersion === version) return true;
    if (await fence.witnesses.areAllThere(live)) {
      checkedVersion = version;
      return true;
    }
    await call(pool, 'SELECT close_database($1, $2, $3) AS done', [version, live, MISSING_WITNESS]);
    return false;
  }

  /** False where this process misses something. */
  async function confirm({ version, live }: Verification): Promise<boolean> {
    const close = (reason: string) => call(pool, 'SELECT close_database($1, $2, $3) AS done', [version, live, reason]);
    if (!(await fence.witnesses.areAllThere(live))) {
      await close(MISSING_WITNESS);
      return false;
    }
    for (const lane of options.lanesOf?.(version) ?? []) {
      if (await call(pool, 'SELECT confirm_lane($1, $2, $3) AS done', [version, lane, live])) continue;
      await close(`The row of lane ${lane} is missing`);
      return false;
    }
    return true;
  }

  /** Compares the runs of keys with their rows; groups may be started afterwards. */
  async function list(verification: Verification, since: string): Promise<void> {
    if (!(await lease(dependencies, verification.version, verification.live))) return;
    const onProgress = () => void lease(dependencies, verification.version, verification.live).catch(() => undefined);
    const { taskQueue } = target;
    const writes = database.writes;
    const end = await compareKeyRuns({
      client,
      runs,
      pool,
      writes,
      taskQueue,
      operations,
      verification,
      since,
      onProgress,
    });
    if (end === 'closed') return fence.refresh();
    const { listed, lost, unreadable } = end;
    if (unreadable.length > 0) logger.error({ unreadable }, 'The input of runs without a row cannot be read');
    logger.info({ listed, lost }, 'The completed runs of keys were compared with their rows');
    return fence.refresh();
  }

  function begin(): void {
    if (isClosed) return;
    working ??= work()
      .catch((error: unknown) => {
        if (!isClosed) logger.warn({ err: error }, 'The database could not be verified; it is tried again');
      })
      .finally(() => {
        working = undefined;
      });
  }

  fence.onLook(begin);
  const timer = setInterval(begin, LOOK_MS);
  timer.unref();
  begin();
  return {
    async close() {
      isClosed = true;
      clearInterval(timer);
      // What it has begun is taken up by another process, or by the next.
      await Promise.race([working, sleep(CLOSE_LIMIT_MS, undefined, { ref: false })]);
    },
  };
}

const MISSING_WITNESS = 'A row is missing that a process has answered with';

/** How long the namespace keeps closed runs. */
export async function retentionMs({ workflowService, connection, options }: Client): Promise<number> {
  const { config } = await callWithin(connection, NAMESPACE_TIMEOUT_MS, () =>
    workflowService.describeNamespace({ namespace: options.namespace }),
  );
  return Number(config?.workflowExecutionRetentionTtl?.seconds?.toString() ?? 0) * 1_000;
}
