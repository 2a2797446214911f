import type { Database } from '../activities/database.ts';
import type { WriteRow } from '../activities/write-row.ts';
import type { WriteArguments } from '../workflows/messages.ts';
import { within } from './deferred.ts';
import { createDispatch } from './dispatch.ts';
import { type Flight, type FlightDependencies, type FlightEnd, launch } from './flights.ts';
import type { GroupRuns } from './group-runs.ts';
import type { ProblemCode } from './problems.ts';
import type { WriteRuns } from './write-runs.ts';

/**
 * Submit a write and wait for its outcome: the one way in, and the only place that knows lanes.
 *
 * Requests of this process with the same key *and fingerprint* share one flight; each waits with a deadline of its own.
 */
export type Submit = {
  /** The flight that such a request would join, without using any limit. */
  find(companyId: string, key: string, fingerprint: string): Flight | undefined;
  /** Sends a new flight off; undefined when this process carries as many as it may. */
  open(args: WriteArguments): Flight | undefined;
  /** Waits as the client prefers. `opener`: this request opened the flight, so the first answer may be its own. */
  wait(flight: Flight, deadline: Deadline, opener: boolean): Promise<Waited>;
  /** Hands over an outcome that this process has just committed: its waiters need no word from Temporal. */
  handOver(args: WriteArguments, row: WriteRow): void;
  /** The run that this process works at is about to fail: there will be no hand-over, only Temporal's word. */
  giveUp(args: WriteArguments): void;
  readonly inFlight: number;
  readonly startsQueued: number;
  /** 0 where none is in flight. */
  readonly oldestFlightSeconds: number;
};

/** By the clock of `performance.now()`. */
export type Deadline = {
  /** Until then for the outcome: the client's wait. */
  readonly waitUntilMs: number;
  /** Then at the latest the answer goes out, whatever it is. */
  readonly answerByMs: number;
  /** Strictly no waiting: a duplicate in flight is told so. */
  readonly strict: boolean;
};

type Waited =
  | { readonly kind: 'end'; readonly end: FlightEnd }
  /** Temporal has it, and it goes on without the client. */
  | { readonly kind: 'accepted' }
  | { readonly kind: 'in progress' }
  | { readonly kind: 'problem'; readonly code: ProblemCode };

export function createSubmit(options: {
  readonly database: Database;
  readonly runs: WriteRuns;
  readonly groups: GroupRuns;
  readonly maxInFlight: number;
  readonly grouping: boolean;
  summarize(args: WriteArguments): string;
  observeDeparture(lane: 'key' | 'group', waitedMs: readonly number[]): void;
  onUnexpected(error: unknown, args: WriteArguments): void;
}): Submit {
  const flights = new Map<string, ReturnType<typeof launch> & { readonly sinceMs: number }>();
  const dispatch = createDispatch(options);
  const dependencies: FlightDependencies = { ...options, dispatch };
  return {
    get inFlight() {
      return flights.size;
    },
    get startsQueued() {
      return dispatch.queued;
    },
    get oldestFlightSeconds() {
      // A map is walked in the order of insertion.
      for (const { sinceMs } of flights.values()) return (performance.now() - sinceMs) / 1_000;
      return 0;
    },
    find: (companyId, key, fingerprint) => flights.get(flightId(companyId, key, fingerprint))?.flight,
    open(args) {
      if (flights.size >= options.maxInFlight) return undefined;
      const id = flightId(args.companyId, args.key, args.fingerprint);
      const launched = { ...launch(args, dependencies), sinceMs: performance.now() };
      flights.set(id, launched);
      void launched.flight.end.then(() => flights.delete(id));
      return launched.flight;
    },
    async wait(flight, deadline, opener) {
      flight.waiters += 1;
      try {
        return await waitFor(flight, deadline, opener, options.grouping);
      } finally {
        flight.waiters -= 1;
      }
    },
    handOver(args, row) {
      flights.get(flightId(args.companyId, args.key, args.fingerprint))?.handOver(row);
    },
    giveUp(args) {
      flights.get(flightId(args.companyId, args.key, args.fingerprint))?.giveUp();
    },
  };
}

async function waitFor(
  flight: Flight,
  { waitUntilMs, answerByMs, strict }: Deadline,
  opener: boolean,
  grouping: boolean,
): Promise<Waited> {
  // Without any wait, too: it may have ended while this request looked its key up.
  const end = await within(flight.end, waitUntilMs - performance.now());
  if (end !== undefined) return { kind: 'end', end };
  if (strict && !opener) return { kind: 'in progress' };
  // The deadline is over; what may be said depends on how far the flight has come, and it gets a moment to come that far.
  if (flight.stage !== 'open') {
    // Only final answers come out of a group, and of what still queues nothing is accepted yet.
    if (grouping && (flight.stage === 'queued' || flight.stage === 'grouped')) flight.express();
    const moment = await within(
      Promise.race([flight.end, flight.opened.then(() => 'opened' as const)]),
      answerByMs - performance.now(),
    );
    if (moment !== undefined && moment !== 'opened') return { kind: 'end', end: moment };
  }
  switch (flight.stage) {
    case 'open':
      return strict && flight.openedBy === 'another' ? { kind: 'in progress' } : { kind: 'accepted' };
    case 'behind':
      return { kind: 'in progress' };
    case 'starting':
      return { kind: 'problem', code: 'orchestrator_unavailable' };
    case 'reading':
      return { kind: 'problem', code: 'storage_unavailable' };
    case 'queued':
    case 'grouped':
      return { kind: 'problem', code: 'overloaded' };
  }
}

/** Never by the key alone: the flight of another body must not hand its outcome to this one. */
function flightId(companyId: string, key: string, fingerprint: string): string {
  return `${companyId}/${fingerprint}/${key}`;
}
