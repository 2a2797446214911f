import type { Database } from '../activities/database.ts';
import { isStorageUnavailable } from '../activities/failures.ts';
import type { WriteRow } from '../activities/write-row.ts';
import type { WriteArguments } from '../workflows/messages.ts';
import { deferred, within } from './deferred.ts';
import type { Dispatch } from './dispatch.ts';
import { lookUpRow } from './lookup.ts';
import type { ProblemCode } from './problems.ts';
import { untilClosed } from './until-closed.ts';
import type { Run } from './write-resource.ts';
import { type RunDescription, type Started, TemporalUnavailable, type WriteRuns } from './write-runs.ts';

/**
 * A flight is one submission of this process on its way to an outcome, shared by all requests here with the same key and
 * the same fingerprint. It ends with the outcome, or with what can be said instead; never with a request.
 *
 * How far it has come decides what a request may be told at its deadline:
 * - `queued`, `starting`: nothing is known to be accepted;
 * - `grouped`: it travels with others, and out of a group come only final answers;
 * - `open`: Temporal has an open run of this very request; it goes on without any client;
 * - `reading`: a run that had been there before has closed, and its row is asked for.
 * - `behind`: another request with this key, by another version of the schema, is in flight and decides first.
 */
export type Flight = {
  readonly args: WriteArguments;
  stage: 'queued' | 'starting' | 'grouped' | 'reading' | 'open' | 'behind';
  /** Whose run it is that is open: started here, or met. */
  openedBy: 'this flight' | 'another' | undefined;
  run: Run | undefined;
  /** How many requests wait here: one that no one waits for any more is not started at all. */
  waiters: number;
  readonly opened: Promise<void>;
  readonly end: Promise<FlightEnd>;
  /** Has it started in a workflow of its own, now, so that a request can be answered 202; once, whoever asks. */
  express(): void;
};

export type FlightEnd =
  /** The write has its outcome; whether it is this request's is for the reader to compare. */
  | { readonly kind: 'row'; readonly row: WriteRow }
  /** Another request with this key is in flight, and no row is there. */
  | { readonly kind: 'mismatch'; readonly other: WriteArguments | undefined }
  | { readonly kind: 'problem'; readonly code: ProblemCode };

export type FlightDependencies = {
  readonly database: Database;
  readonly runs: WriteRuns;
  readonly dispatch: Dispatch;
  readonly onUnexpected: (error: unknown, args: WriteArguments) => void;
};

/** Each round starts or meets one more run. Runs that fail as fast as they are started end the flight, not the process. */
const MAX_ROUNDS = 8;
/**
 * An eager start runs in this very process, which hands the outcome over at its COMMIT: for so long Temporal is not asked
 * how the run is doing. That question costs as much as a start, and nearly always comes too late to be of use.
 */
const HAND_OVER_FIRST_MS = 1_000;

/**
 * Sends a flight off. `handOver` ends it at once, with the row that this process has just read or committed; `giveUp` says
 * that none will come from here, since its run is about to fail.
 */
export function launch(args: WriteArguments, dependencies: FlightDependencies) {
  const handed = deferred<WriteRow>();
  const givenUp = deferred<void>();
  const opened = deferred<void>();
  const control: Control = {
    handed: undefined,
    handOverIsDue: Promise.race([handed.promise, givenUp.promise]),
    markOpen(by, run) {
      flight.stage = 'open';
      flight.openedBy = by;
      flight.run = run;
      opened.resolve();
    },
  };
  let expressed = false;
  const flight: Flight = {
    args,
    stage: 'queued',
    openedBy: undefined,
    run: undefined,
    waiters: 0,
    opened: opened.promise,
    express() {
      if (expressed) return;
      expressed = true;
      void flyExpress(flight, control, dependencies);
    },
    // Deferred by one turn, so that the first request is counted before the flight looks for someone to fly for.
    end: Promise.resolve().then(() =>
      Promise.race([
        handed.promise.then((row) => ({ kind: 'row', row }) as const),
        fly(() => flight, control, dependencies),
      ]),
    ),
  };
  return {
    flight,
    handOver(row: WriteRow) {
      control.handed = row;
      handed.resolve(row);
    },
    giveUp: () => givenUp.resolve(),
  };
}

type Control = {
  handed: WriteRow | undefined;
  /** Resolves with the hand-over, or when there will be none. */
  readonly handOverIsDue: Promise<unknown>;
  markOpen(by: 'this flight' | 'another', run: Run): void;
};

async function fly(get: () => Flight, control: Control, dependencies: FlightDependencies): Promise<FlightEnd> {
  const flight = get();
  try {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const end = await flyOnce(flight, control, dependencies);
      if (end !== 'again') return end;
    }
    return { kind: 'problem', code: 'outcome_unknown' };
  } catch (error) {
    if (error instanceof TemporalUnavailable) return { kind: 'problem', code: 'orchestrator_unavailable' };
    if (isStorageUnavailable(error)) return { kind: 'problem', code: 'storage_unavailable' };
    dependencies.onUnexpected(error, flight.args);
    return { kind: 'problem', code: 'internal_error' };
  }
}

/** Steps 5 to 7 of the write path, once: start or meet a run, wait for its end, and read what it left. */
async function flyOnce(
  flight: Flight,
  control: Control,
  dependencies: FlightDependencies,
): Promise<FlightEnd | 'again'> {
  const dispatched = await dependencies.dispatch.send({
    args: flight.args,
    ended: flight.end,
    isAbandoned: () => flight.stage === 'queued' && flight.waiters === 0,
    onLeaving(lane) {
      // One that has gone ahead by express stays open; here it follows, and its transaction meets the other's.
      if (flight.stage !== 'open') flight.stage = lane === 'key' ? 'starting' : 'grouped';
    },
  });
  if (dispatched === 'abandoned') return { kind: 'problem', code: 'overloaded' };
  if (dispatched.lane === 'key') return followStart(flight, control, dispatched.started, dependencies);

  const group = await dispatched.end;
  if (control.handed !== undefined) return { kind: 'row', row: control.handed };
  const left = group === 'unproven' ? undefined : group.left.find(({ index }) => index === dispatched.index);
  if (left === undefined) return readAfterGroup(flight, control, dependencies);
  // A child is not an eager start: any worker may have it.
  return followStart(
    flight,
    control,
    left.runId === null ? 'exists' : { runId: left.runId, eager: false },
    dependencies,
  );
}

/** Step 6: a run of this flight's own, or whatever run is there already. */
async function followStart(
  flight: Flight,
  control: Control,
  started: Started,
  dependencies: FlightDependencies,
): Promise<FlightEnd | 'again'> {
  const { args } = flight;
  if (started !== 'exists') {
    control.markOpen('this flight', toRun({ runId: started.runId, startedAt: new Date(), memo: undefined }, args));
    if (started.eager) await within(control.handOverIsDue, HAND_OVER_FIRST_MS);
    if (control.handed !== undefined) return { kind: 'row', row: control.handed };
    return waitForRun(flight, control, started.runId, dependencies);
  }
  const met = await dependencies.runs.describe(args.companyId, args.key);
  return met?.state === 'running'
    ? meetRunning(flight, control, met, dependencies)
    : meetClosed(flight, met, dependencies);
}

/** The group is over and this item did not leave it: then its row is there, unless the group was ended from outside. */
async function readAfterGroup(
  flight: Flight,
  control: Control,
  dependencies: FlightDependencies,
): Promise<FlightEnd | 'again'> {
  const { args } = flight;
  const row = await lookUpRow(dependencies.database, args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  const newest = await dependencies.runs.describe(args.companyId, args.key);
  if (newest?.state === 'running' && newest.memo?.fingerprint === args.fingerprint) {
    control.markOpen('another', toRun(newest, args));
    return waitForRun(flight, control, newest.runId, dependencies);
  }
  return { kind: 'problem', code: 'outcome_unknown' };
}

/** Marks the flight open once Temporal has a run of this very request; whatever else happens is the flight's own affair. */
async function flyExpress(flight: Flight, control: Control, { dispatch, runs }: FlightDependencies): Promise<void> {
  const { args } = flight;
  try {
    const started = await dispatch.express(args, () => {
      if (flight.stage !== 'open') flight.stage = 'starting';
    });
    if (started !== 'exists') {
      control.markOpen('this flight', toRun({ runId: started.runId, startedAt: new Date(), memo: undefined }, args));
      return;
    }
    const met = await runs.describe(args.companyId, args.key);
    if (met?.state === 'running' && met.memo?.fingerprint === args.fingerprint)
      control.markOpen('another', toRun(met, args));
  } catch {
    // Not started: the request that asked for it is told so at its deadline.
  }
}

async function meetClosed(
  flight: Flight,
  met: RunDescription | undefined,
  { database }: FlightDependencies,
): Promise<FlightEnd | 'again'> {
  const { args } = flight;
  flight.stage = 'reading';
  const row = await lookUpRow(database, args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  // Completed, and no row: Temporal says done and the database says no. Nobody may be told that it succeeded.
  return met?.state === 'completed' ? { kind: 'problem', code: 'write_record_missing' } : 'again';
}

async function meetRunning(
  flight: Flight,
  control: Control,
  met: RunDescription,
  dependencies: FlightDependencies,
): Promise<FlightEnd | 'again'> {
  const { args } = flight;
  if (met.memo?.fingerprint === args.fingerprint) {
    control.markOpen('another', toRun(met, args));
    return waitForRun(flight, control, met.runId, dependencies);
  }
  const otherVersion = met.memo?.schemaVersion !== args.schemaVersion;
  if (met.memo === undefined || (met.memo.operation === args.operation && otherVersion)) {
    // Another release may have written the same request down differently: only the outcome's row can tell.
    flight.stage = 'behind';
    return waitForRun(flight, control, met.runId, dependencies);
  }
  flight.stage = 'reading';
  const row = await lookUpRow(dependencies.database, args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  const other = await dependencies.runs.readArguments(args.companyId, args.key, met.runId).catch(() => undefined);
  return { kind: 'mismatch', other };
}

/** Waits for the run's close, then looks the row up: whatever the run says, the row is the truth. */
async function waitForRun(
  flight: Flight,
  control: Control,
  runId: string,
  dependencies: FlightDependencies,
): Promise<FlightEnd | 'again'> {
  const { args } = flight;
  const { database, runs } = dependencies;
  const end = await untilClosed(
    () => runs.waitUntilClosed(args.companyId, args.key, runId),
    () => control.handed !== undefined,
  );
  if (control.handed !== undefined) return { kind: 'row', row: control.handed };
  const row = await lookUpRow(database, args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  if (end.kind === 'result') return { kind: 'problem', code: 'write_record_missing' };
  const newest = await runs.describe(args.companyId, args.key);
  if (newest?.state === 'running' && newest.runId !== runId && newest.memo?.fingerprint === args.fingerprint) {
    control.markOpen('another', toRun(newest, args));
    return waitForRun(flight, control, newest.runId, dependencies);
  }
  // One that was behind another's run has not had its own yet.
  if (flight.stage === 'behind') return 'again';
  return { kind: 'problem', code: end.kind === 'rolledBack' ? 'write_failed' : 'outcome_unknown' };
}

/** A run that another has started is told as that one's, by its memo. */
function toRun(
  { runId, startedAt, memo }: Pick<RunDescription, 'runId' | 'startedAt' | 'memo'>,
  { actor, request }: WriteArguments,
): Run {
  const { userId, requestId } = memo ?? { userId: actor.userId, requestId: request.id };
  return { runId, startedAt: startedAt.toISOString(), userId, requestId };
}
