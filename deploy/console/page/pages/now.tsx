import type { OperatorSnapshot } from '../../../client/src/generated/types.ts';
import { Chart, type Line } from '../parts/chart.tsx';
import { Problem } from '../parts/problem.tsx';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { type Live, useLive } from '../parts/use-live.ts';
import { instantText, lengthText } from '../time.ts';

/** For operators: how the system is, live, and how the last hour was. */
export function NowPage() {
  useDocumentTitle('Now');
  const live = useLive<OperatorSnapshot>('/operator/live');
  const { data, error, state } = live;
  return (
    <>
      <h1>Now</h1>
      <Connection live={live} />
      {data === undefined && error !== undefined ? <Problem error={error} /> : null}
      <Tiles snapshot={data} isBlind={state !== 'live'} />
      <Alerts snapshot={data} />
      <h2>The last hour</h2>
      <Charts snapshot={data} />
      <Sources snapshot={data} />
    </>
  );
}

/** Of one height whatever it says: what is below must not jump. */
function Connection({ live: { data, state, error } }: { readonly live: Live<OperatorSnapshot> }) {
  const since = data === undefined ? undefined : instantText(data.at, 'UTC');
  const silent = (data?.processes ?? []).filter(({ answers }) => !answers).map(({ name }) => name);
  return (
    <p class="connection" role="status">
      {state === 'connecting' ? 'Connecting' : null}
      {state === 'live' ? <span class="state succeeded">Live</span> : null}
      {state === 'live' && silent.length > 0 ? (
        <strong class="state failed">, without {silent.join(', ')}: the figures are of the others</strong>
      ) : null}
      {state === 'blind' ? (
        <>
          <strong class="state failed">Blind{since === undefined ? '' : ` since ${since}`}</strong>: {error?.message}
          {error?.status === 401 ? ' Sign in again.' : ' Connecting again.'}
        </>
      ) : null}
    </p>
  );
}

type Tone = 'good' | 'bad' | 'wait' | 'none';
type Tile = { readonly name: string; readonly value: string; readonly note?: string; readonly tone?: Tone };

function Tiles({ snapshot, isBlind }: { readonly snapshot: OperatorSnapshot | undefined; readonly isBlind: boolean }) {
  return (
    <dl class={isBlind ? 'tiles stale' : 'tiles'} aria-busy={snapshot === undefined}>
      {tilesOf(snapshot?.now).map(({ name, value, note, tone }) => (
        <div key={name} class={tone}>
          <dt>{name}</dt>
          <dd>{value}</dd>
          <dd class="note">{note}</dd>
        </div>
      ))}
    </dl>
  );
}

function tilesOf(now: OperatorSnapshot['now'] | undefined): readonly Tile[] {
  const rates = now?.writesPerSecond;
  const refused = sum([rates?.rejected, rates?.conflicted, rates?.cancelled]);
  const failed = sum([rates?.failed, rates?.unavailable]);
  const auditor = now?.auditor;
  // What is recent is among all: one finding is not two.
  const findings = most([auditor?.recentFindings, auditor?.allFindings]);
  return [
    { name: 'Succeeded', value: rate(rates?.succeeded), note: 'writes committed' },
    { name: 'Refused', value: rate(refused), note: 'rejected, conflicted, cancelled' },
    { name: 'Failed', value: rate(failed), note: 'on our side', tone: (failed ?? 0) > 0 ? 'bad' : 'none' },
    { name: 'Replays', value: rate(now?.replaysPerSecond), note: 'sent again, answered again' },
    { name: 'Half within', value: answered(now, now?.p50Ms), note: 'p50 of first answers' },
    { name: '95 % within', value: answered(now, now?.p95Ms), note: 'p95 of first answers' },
    { name: 'In flight', value: count(now?.inFlight), note: 'submitted, without an outcome' },
    { name: 'Queue', value: count(now?.queued), note: 'wait for their start' },
    {
      name: 'Oldest unfinished',
      value: seconds(now?.oldestUnfinishedSeconds),
      note: 'open run or submission',
      tone: (now?.oldestUnfinishedSeconds ?? 0) > 60 ? 'bad' : 'none',
    },
    { name: 'Relay lag', value: seconds(now?.relayLagSeconds), note: 'oldest event not taken' },
    { name: 'Seal lag', value: seconds(now?.sealLagSeconds), note: 'oldest row not sealed' },
    {
      name: 'Auditor',
      value: findings === null ? UNKNOWN : `${findings} ${findings === 1 ? 'finding' : 'findings'}`,
      note: auditor?.silentSeconds == null ? '' : `last audit ${lengthText(auditor.silentSeconds)} ago`,
      tone: findings === null ? 'none' : findings > 0 ? 'bad' : 'good',
    },
  ];
}

function Alerts({ snapshot }: { readonly snapshot: OperatorSnapshot | undefined }) {
  const alerts = snapshot?.alerts;
  return (
    <>
      <h2>Alerts</h2>
      {alerts == null ? (
        <p>{snapshot === undefined ? 'Not known yet.' : 'Not known: the end of this page says why.'}</p>
      ) : null}
      {alerts?.length === 0 ? <p class="state succeeded">None fires.</p> : null}
      {alerts == null || alerts.length === 0 ? null : (
        <ul class="alerts">
          {alerts.map(({ name, state, severity, since, summary }) => (
            <li key={`${name} ${since}`} class={state}>
              <strong class={state === 'firing' ? 'state failed' : 'state running'}>{name}</strong> ({state}
              {severity === null ? '' : `, ${severity}`}): {summary}
              {since === null ? null : <time dateTime={since}> since {instantText(since, 'UTC')}</time>}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Charts({ snapshot }: { readonly snapshot: OperatorSnapshot | undefined }) {
  const hour = snapshot?.lastHour;
  const at = hour?.at ?? [];
  const rates = hour?.writesPerSecond;
  const writes: readonly Line[] = [
    { name: 'succeeded', tone: 'good', values: rates?.succeeded ?? [] },
    { name: 'rejected', tone: 'wait', values: rates?.rejected ?? [] },
    { name: 'conflicted', tone: 'other', values: rates?.conflicted ?? [] },
    { name: 'cancelled', tone: 'none', values: rates?.cancelled ?? [] },
    { name: 'failed', tone: 'bad', values: rates?.failed ?? [] },
    { name: 'unavailable', tone: 'away', values: rates?.unavailable ?? [] },
  ];
  return (
    <div class="charts">
      <Chart title="Writes per second" at={at} lines={writes} text={rate} />
      <Chart
        title="Time to the first answer"
        at={at}
        lines={[
          { name: 'p50', tone: 'good', values: hour?.p50Ms ?? [] },
          { name: 'p95', tone: 'wait', values: hour?.p95Ms ?? [] },
        ]}
        text={milliseconds}
      />
      <Chart
        title="Lag"
        at={at}
        lines={[
          { name: 'relay', tone: 'other', values: hour?.relayLagSeconds ?? [] },
          { name: 'seal', tone: 'wait', values: hour?.sealLagSeconds ?? [] },
        ]}
        text={seconds}
      />
      <Chart
        title="Replays per second"
        at={at}
        lines={[{ name: 'replays', tone: 'other', values: hour?.replaysPerSecond ?? [] }]}
        text={rate}
      />
    </div>
  );
}

function Sources({ snapshot }: { readonly snapshot: OperatorSnapshot | undefined }) {
  if (snapshot === undefined) return null;
  const { source, processes, notes } = snapshot;
  return (
    <>
      <h2>Where this comes from</h2>
      <p>
        {source === 'prometheus' ? 'Prometheus' : 'The metrics of the processes that this API knows'}, in UTC.{' '}
        {notes.join(' ')}
      </p>
      <ul>
        {processes.map(({ name, answers }) => (
          <li key={name}>
            {name}: <span class={answers ? 'state succeeded' : 'state failed'}>{answers ? 'answers' : 'silent'}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

const UNKNOWN = 'unknown';

/** The largest; null unless each of them is known. */
function most(values: readonly (number | null | undefined)[]): number | null {
  return values.every((value) => value != null) ? Math.max(...(values as readonly number[])) : null;
}

/** Null where none of them is known. */
function sum(values: readonly (number | null | undefined)[]): number | null {
  const known = values.filter((value) => value != null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}

function rate(value: number | null | undefined): string {
  if (value == null) return UNKNOWN;
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${Number(value.toFixed(digits))}/s`;
}

/** A quantile of nothing is none; it is unknown where nobody counts. */
function answered(now: OperatorSnapshot['now'] | undefined, value: number | null | undefined): string {
  return value == null && now?.inFlight != null ? 'none' : milliseconds(value);
}

function milliseconds(value: number | null | undefined): string {
  if (value == null) return UNKNOWN;
  return value < 1_000
    ? `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)} ms`
    : lengthText(value / 1_000);
}

function seconds(value: number | null | undefined): string {
  return value == null ? UNKNOWN : lengthText(value);
}

function count(value: number | null | undefined): string {
  return value == null ? UNKNOWN : String(Math.round(value));
}
