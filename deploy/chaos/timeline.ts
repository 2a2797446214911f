import { summarize } from '../cli/latencies.ts';
import { isSuccess } from './load.ts';
import type { ChaosSent, Ran, Trouble } from './scenario.ts';

export type Timeline = {
  /** The longest time without a success while clients were writing. */
  readonly longestSilenceMs: number;
  /** From the end of the trouble to the first success; the longest of several troubles. Null without trouble. */
  readonly firstSuccessMs: number | null;
  /** From the end of the trouble until writes are as fast as before, see `steadyAgain`; null if that did not happen. */
  readonly steadyMs: number | null;
};

export function timelineOf(ran: Ran): Timeline {
  const { sent, troubles } = ran;
  const successes = sent
    .filter(({ submitted }) => isSuccess(submitted.final?.status))
    .map(({ answeredAt }) => answeredAt)
    .toSorted((one, other) => one - other);
  const calm = p95Of(sent.filter(({ beganAt }) => beganAt < (troubles[0]?.beganAt ?? 0)));
  return {
    longestSilenceMs: longestSilence(successes, ran),
    firstSuccessMs: longest(troubles.map(({ endedAt }) => firstAfter(successes, endedAt))),
    steadyMs: longest(troubles.map(({ endedAt }, index) => steadyAgain(ran, calm, endedAt, troubles[index + 1]))),
  };
}

/** A silence that begins while clients write counts to its end. */
function longestSilence(successes: readonly number[], { loadBeganAt, loadEndedAt }: Ran): number {
  const edges = [loadBeganAt, ...successes];
  if ((successes.at(-1) ?? 0) < loadEndedAt) edges.push(loadEndedAt);
  return edges.slice(1).reduce((most, at, index) => {
    const since = edges[index] ?? at;
    return since < loadEndedAt ? Math.max(most, at - since) : most;
  }, 0);
}

function firstAfter(successes: readonly number[], endedAt: number): number | null {
  const first = successes.find((at) => at >= endedAt);
  return first === undefined ? null : first - endedAt;
}

const SLICE_MS = 1_000;
/** A p95 of fewer would be one write's luck. */
const LEAST_WRITES = 5;

/**
 * The end of the first second after the trouble whose writes, from their first request to their final answer, have a p95
 * below twice that of all writes before the first trouble.
 */
function steadyAgain(ran: Ran, calmP95Ms: number, endedAt: number, next: Trouble | undefined): number | null {
  const until = next?.beganAt ?? ran.loadEndedAt;
  for (let from = endedAt; from + SLICE_MS <= until; from += SLICE_MS) {
    const slice = ran.sent.filter(({ beganAt }) => beganAt >= from && beganAt < from + SLICE_MS);
    if (slice.length >= LEAST_WRITES && p95Of(slice) < 2 * calmP95Ms) return from + SLICE_MS - endedAt;
  }
  return null;
}

export function p95Of(sent: readonly ChaosSent[]): number {
  return summarize(sent.map(({ latencyMs }) => latencyMs)).p95Ms;
}

/** Null if one of them is, or if there is none. */
function longest(times: readonly (number | null)[]): number | null {
  return times.reduce((most, time) => (time === null || most === null ? null : Math.max(most, time)), times[0] ?? null);
}
