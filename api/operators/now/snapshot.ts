import { z } from 'zod';
import type { Stretch } from './rates.ts';
import type { Counter, Gauge } from './reading.ts';
import { OUTCOMES } from './reading.ts';

const known = () => z.number().nullable();
const perOutcome = <T extends z.ZodType>(each: T) =>
  z.object(Object.fromEntries(OUTCOMES.map((outcome) => [outcome, each])) as Record<(typeof OUTCOMES)[number], T>);

/** How the system is at one moment, and how it was in the hour before. What nobody has told is null. */
export const snapshotSchema = z.object({
  at: z.iso.datetime(),
  source: z
    .enum(['prometheus', 'processes'])
    .meta({ description: 'Whom this API has asked: Prometheus, or the metrics of the processes that it knows' }),
  processes: z
    .array(z.object({ name: z.string(), answers: z.boolean() }))
    .meta({ description: 'Those whose metrics are in it, and whether they answer now' }),
  now: z.object({
    writesPerSecond: perOutcome(known()),
    replaysPerSecond: known(),
    p50Ms: known().meta({ description: 'Of first answers; replays are not in it' }),
    p95Ms: known(),
    inFlight: known(),
    queued: known(),
    oldestUnfinishedSeconds: known(),
    relayLagSeconds: known(),
    sealLagSeconds: known(),
    auditor: z.object({
      silentSeconds: known().meta({ description: 'Since a scheduled audit has ended' }),
      recentFindings: known(),
      allFindings: known(),
    }),
  }),
  lastHour: z
    .object({
      at: z.array(z.number()).meta({ description: 'Seconds since 1970, the ends of equal stretches' }),
      writesPerSecond: perOutcome(z.array(known())),
      replaysPerSecond: z.array(known()),
      p50Ms: z.array(known()),
      p95Ms: z.array(known()),
      inFlight: z.array(known()),
      queued: z.array(known()),
      relayLagSeconds: z.array(known()),
      sealLagSeconds: z.array(known()),
    })
    .meta({ description: 'Arrays of one length: the same place is the same stretch' }),
  alerts: z
    .array(
      z.object({
        name: z.string(),
        state: z.enum(['firing', 'pending']),
        severity: z.string().nullable(),
        since: z.string().nullable(),
        summary: z.string().nullable(),
      }),
    )
    .nullable()
    .meta({ description: 'null where nobody evaluates them: without Prometheus, or while it does not answer' }),
  notes: z.array(z.string()).meta({ description: 'What is not known, and why, in words' }),
});

export type Snapshot = z.output<typeof snapshotSchema>;

/** How long a stretch of the last hour is. */
export const STRETCH_S = 30;
export const HOUR_S = 3_600;

/** Seconds since 1970 at which the stretches of the hour before `nowS` end; the first one is only the beginning of the next. */
export function boundsOfHour(nowS: number): number[] {
  const last = Math.floor(nowS / STRETCH_S) * STRETCH_S;
  return Array.from({ length: HOUR_S / STRETCH_S + 1 }, (_, i) => last - HOUR_S + i * STRETCH_S);
}

export function nowOf({ perSecond, p50Ms, p95Ms, gauges }: Stretch): Snapshot['now'] {
  const { auditorSilentSeconds: silentSeconds, recentFindings, allFindings, ...rest } = gauges;
  const { replayed, ...outcomes } = perSecond;
  return {
    writesPerSecond: outcomes,
    replaysPerSecond: replayed,
    p50Ms,
    p95Ms,
    ...rest,
    auditor: { silentSeconds, recentFindings, allFindings },
  };
}

export function lastHourOf(at: readonly number[], all: readonly Stretch[]): Snapshot['lastHour'] {
  const rate = (counter: Counter) => all.map(({ perSecond }) => perSecond[counter]);
  const gauge = (name: Gauge) => all.map(({ gauges }) => gauges[name]);
  return {
    at: [...at],
    writesPerSecond: Object.fromEntries(
      OUTCOMES.map((outcome) => [outcome, rate(outcome)]),
    ) as Snapshot['lastHour']['writesPerSecond'],
    replaysPerSecond: rate('replayed'),
    p50Ms: all.map(({ p50Ms }) => p50Ms),
    p95Ms: all.map(({ p95Ms }) => p95Ms),
    inFlight: gauge('inFlight'),
    queued: gauge('queued'),
    relayLagSeconds: gauge('relayLagSeconds'),
    sealLagSeconds: gauge('sealLagSeconds'),
  };
}
