import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { asApplication } from '../activities/as-application.ts';
import type { Pool } from '../activities/database.ts';
import { TransientFailure } from '../activities/failures.ts';
import type { Fence } from '../activities/write/fence.ts';
import type { Trust } from '../workflows/messages.ts';
import { createWitnesses, type Witnesses } from './verification/witnesses.ts';

/**
 * Whether this process may write to the server that it reaches. `verifying`: the server is another incarnation than the one
 * that was verified last, and the processes look for what is missing. `replaced`: something is missing, or nothing can be
 * proven, and an operator has to verify. `unknown`: the server has not answered yet.
 */
export type TrustState = 'trusted' | 'verifying' | 'replaced' | 'unknown';
export const TRUST_STATES = ['trusted', 'verifying', 'replaced'] as const;

/** The row of `verification`, and the server that told it. */
export type Verification = {
  readonly version: string;
  readonly epoch: string;
  /** Of the server when it was verified last, and of the server that answers now. */
  readonly incarnation: string;
  readonly live: string;
  readonly isStandby: boolean;
  readonly keyRunsListed: boolean;
  /** Of when the runs of keys are that have to be compared with their rows (RFC 3339); null where none has to. */
  readonly keyRunsSince: string | null;
  readonly continued: boolean;
  readonly replaced: string | null;
  /** How long ago the server was verified, by its own clock. */
  readonly verifiedAgeMs: number;
};

export type ProcessFence = Fence & {
  /** Of this process, in leases and lanes. */
  readonly process: string;
  readonly state: TrustState;
  readonly verification: Verification | undefined;
  /** False while the runs of keys have to be compared with their rows first: until then no group may be started. */
  readonly mayGroup: boolean;
  /** The newest rows that this process has answered or seen committed: a server that has come back must have them. */
  readonly witnesses: Witnesses;
  /**
   * False after this process stood still: the server may be another one since. What it knows of before, it has to look up
   * again before it answers with it.
   */
  readonly isAwake: boolean;
  /**
   * The lanes of this version were closed, so another server has been verified after this one, and this may be an old primary
   * that still runs: nothing is claimed until a later version is found.
   */
  distrust(version: string): void;
  /** Looks at once. Never throws. */
  refresh(): Promise<void>;
  /** Resolves when this process knows of this version. Throws {@link TransientFailure} where it is not verified, or undefined. */
  require(version: string | undefined): Promise<void>;
  /** Called after each look that found something else than the one before, and every two seconds while it is not trusted. */
  onLook(listener: () => void): void;
  close(): void;
};

/** How soon a process notices by itself that the server is another one; a refused claim tells it at once. */
const LOOK_MS = 2_000;
/** No restore is as quick as this. */
const STOOD_STILL_MS = 3 * LOOK_MS;
/** What was under way before has ended after this time. */
const DOUBTED_FOR_MS = 60_000;

/** Begins to watch the database; the first look is over when it returns. */
export async function createFence(pool: Pool, logger: Logger): Promise<ProcessFence> {
  const listeners: (() => void)[] = [];
  const witnesses = createWitnesses(pool);
  let state: TrustState = 'unknown';
  let verification: Verification | undefined;
  let trust: Trust | undefined;
  let distrusted: string | undefined;
  let looking: Promise<void> | undefined;

  async function look(): Promise<void> {
    let found: Verification;
    try {
      found = await readVerification(pool);
    } catch {
      return; // Away, and what it will be is seen when it answers again. Until then it takes no claim.
    }
    const before = `${state}/${verification?.version}/${verification?.live}/${verification?.keyRunsListed}`;
    if (verification !== undefined && verification.epoch !== found.epoch) witnesses.clear();
    verification = found;
    state = found.version === distrusted ? 'verifying' : stateOf(found);
    trust = state === 'trusted' ? toTrust(found) : undefined;
    const isNew = before !== `${state}/${found.version}/${found.live}/${found.keyRunsListed}`;
    if (isNew) tell(logger, state, found);
    if (isNew || state !== 'trusted') for (const listener of listeners) listener();
  }

  const refresh = () => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
    return looking;
  };
  await refresh();
  let tickedAtMs = performance.now();
  let doubtedUntilMs = Number.NEGATIVE_INFINITY;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    if (nowMs - tickedAtMs > STOOD_STILL_MS) doubtedUntilMs = nowMs + DOUBTED_FOR_MS;
    tickedAtMs = nowMs;
    void refresh();
  }, LOOK_MS);
  timer.unref();
  return {
    get isAwake() {
      const nowMs = performance.now();
      return nowMs - tickedAtMs <= STOOD_STILL_MS && nowMs > doubtedUntilMs;
    },
    process: `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`,
    witnesses,
    get trust() {
      return trust;
    },
    get state() {
      return state;
    },
    get verification() {
      return verification;
    },
    get mayGroup() {
      return trust !== undefined && verification?.keyRunsListed === true;
    },
    distrust(version) {
      distrusted = version;
      if (trust?.version !== version) return;
      state = 'verifying';
      trust = undefined;
      logger.warn({ version }, 'Another server was verified after this one: nothing is claimed here');
      void refresh();
    },
    refresh,
    async readTrust() {
      const found = await readVerification(pool).catch((error: unknown) => {
        throw new TransientFailure('The database did not answer', { mayHaveCommitted: false, cause: error });
      });
      if (found.version !== trust?.version) void refresh();
      if (found.version !== distrusted && stateOf(found) === 'trusted') return toTrust(found);
      throw new TransientFailure('The database is not verified', { mayHaveCommitted: false });
    },
    notice: () => void refresh(),
    async require(version) {
      if (version !== undefined && version === trust?.version) return;
      if (version !== undefined) {
        await refresh();
        // A look that was under way may have been from before.
        if (trust?.version !== version) await refresh();
        if (trust?.version === version) return;
      }
      void refresh();
      throw new TransientFailure('The database has not been verified since it came back', { mayHaveCommitted: false });
    },
    onLook: (listener) => void listeners.push(listener),
    close: () => clearInterval(timer),
  };
}

export async function readVerification(pool: Pool): Promise<Verification> {
  const [row] = await asApplication(pool, (tx) =>
    tx.query<{
      version: string;
      epoch: string;
      incarnation: string;
      live: string;
      standby: boolean;
      key_runs_listed: boolean;
      key_runs_since: string | null;
      continued: boolean;
      replaced: string | null;
      verified_age_ms: number;
    }>(
      `SELECT version, epoch, incarnation, incarnation() AS live, pg_is_in_recovery() AS standby, key_runs_listed,
         key_runs_since, continued, replaced,
         extract(epoch FROM clock_timestamp() - verified_at)::double precision * 1000 AS verified_age_ms
       FROM verification`,
    ),
  );
  if (row === undefined) throw new Error('Bug! The table verification has one row, always');
  return {
    version: row.version,
    epoch: row.epoch,
    incarnation: row.incarnation,
    live: row.live,
    isStandby: row.standby,
    keyRunsListed: row.key_runs_listed,
    keyRunsSince: row.key_runs_since,
    continued: row.continued,
    replaced: row.replaced,
    verifiedAgeMs: row.verified_age_ms,
  };
}

function toTrust({ version, live, epoch }: Verification): Trust {
  return { version, incarnation: live, epoch };
}

function stateOf({ replaced, incarnation, live, isStandby }: Verification): TrustState {
  if (replaced !== null) return 'replaced';
  return incarnation === live && !isStandby ? 'trusted' : 'verifying';
}

function tell(logger: Logger, state: TrustState, { live, replaced, isStandby }: Verification): void {
  if (state === 'trusted') logger.info({ incarnation: live }, 'The database is verified');
  else if (state === 'verifying')
    logger.warn({ incarnation: live, isStandby }, 'The database has come back as another');
  else logger.error({ incarnation: live, replaced }, 'The database is replaced: an operator has to verify it');
}
