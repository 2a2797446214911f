import { afterEach, describe, expect, test, vi } from 'vitest';
import { createPrometheusSource } from '../../api/operators/now/prometheus.ts';
import { boundsOfHour } from '../../api/operators/now/snapshot.ts';
import { json, startAnswering } from '../support/answering-server.ts';

const NOW_S = 1_800_000_017;
const ENDS = boundsOfHour(NOW_S).slice(1);

/** What a query is answered: its series by their labels, in the last stretch and now. */
type Told = Readonly<Record<string, readonly (readonly [labels: Readonly<Record<string, string>>, string])[]>>;

let stop: (() => Promise<void>) | undefined;
afterEach(() => stop?.());

/** A Prometheus that answers each query by the metric that is in it; nothing for others. */
async function startTelling(told: Told, alerts: object = { alerts: [] }) {
  const server = await startAnswering([
    (response, request) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://prometheus.test');
      const query = searchParams.get('query') ?? '';
      const [, series = []] = Object.entries(told).find(([part]) => query.includes(part)) ?? [];
      const result = series.map(([metric, value]) =>
        pathname.endsWith('_range') ? { metric, values: [[ENDS.at(-1), value]] } : { metric, value: [NOW_S, value] },
      );
      const data = pathname.endsWith('/alerts') ? alerts : { resultType: 'any', result };
      json(200, { status: 'success', data })(response, request);
    },
  ]);
  stop = server.close;
  return server;
}

let nowMs = NOW_S * 1_000;
const sourceAt = (url: string) => createPrometheusSource({ url: `${url}/`, now: () => nowMs });

describe('what Prometheus tells', () => {
  test('is put at its stretch of the hour, and what it told last is now', async () => {
    const { url } = await startTelling({
      'idempotent_writes_total{status="new"}': [[{}, '2.5']],
      idempotent_writes_failed_total: [
        [{ error_type: 'mismatch' }, '0.5'],
        [{ error_type: 'of a later release' }, '9'],
      ],
      'histogram_quantile(0.5': [[{}, 'NaN']],
      'histogram_quantile(0.95': [[{}, '120']],
      'sum(write_flights)': [[{}, '7']],
      'up{': [
        [{ job: 'accubooks-api', instance: 'a:3000' }, '1'],
        [{ job: 'accubooks-worker', instance: 'w:9464' }, '0'],
      ],
    });
    const { now, lastHour, processes, notes, alerts } = await sourceAt(url).snapshot();
    // Of the types that are not named there was none; a metric that nobody has is not known.
    const rates = { succeeded: 2.5, conflicted: 0.5, rejected: 0, cancelled: 0, failed: 0, unavailable: 0 };
    expect(now).toMatchObject({ writesPerSecond: rates, replaysPerSecond: null, p50Ms: null, p95Ms: 120, inFlight: 7 });
    expect(lastHour.at).toEqual(ENDS);
    expect(lastHour.writesPerSecond.succeeded.slice(-2)).toEqual([null, 2.5]);
    expect(lastHour.p95Ms.at(-1)).toBe(120);
    expect(processes).toEqual([
      { name: 'accubooks-api a:3000', answers: true },
      { name: 'accubooks-worker w:9464', answers: false },
    ]);
    expect({ notes, alerts }).toEqual({ notes: [], alerts: [] });
  });

  test('is asked for once for all who look within ten seconds, and again after that', async () => {
    const { url, seen } = await startTelling({});
    const source = sourceAt(url);
    await Promise.all([source.snapshot(), source.snapshot(), source.snapshot()]);
    const asked = seen.length;
    nowMs += 9_000;
    await source.snapshot();
    expect(seen.length).toBe(asked);
    nowMs += 2_000;
    await source.snapshot();
    expect(seen.length).toBe(2 * asked);
    expect(new Set(seen.map(({ line }) => line.split('?')[0]))).toEqual(
      new Set(['GET /api/v1/query', 'GET /api/v1/query_range', 'GET /api/v1/alerts']),
    );
  });

  test('of alerts has those that fire first, and leaves out those that do not', async () => {
    const alert = (alertname: string, state: string) => ({
      ...{ labels: { alertname, severity: 'critical' }, annotations: { summary: 'So it is' }, state },
      activeAt: '2026-01-30T00:00:00Z',
    });
    const alerts = [alert('B', 'pending'), alert('C', 'firing'), alert('A', 'firing'), alert('D', 'inactive')];
    const { url } = await startTelling({}, { alerts });
    const told = await sourceAt(url).snapshot();
    expect(told.alerts?.map(({ name, state }) => [name, state])).toEqual([
      ['A', 'firing'],
      ['C', 'firing'],
      ['B', 'pending'],
    ]);
    expect(told.alerts?.[0]).toMatchObject({
      severity: 'critical',
      summary: 'So it is',
      since: '2026-01-30T00:00:00Z',
    });
  });

  test('is unknown where it does not answer in time, and the notes say so', async () => {
    const { timeout } = AbortSignal;
    const limits = vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout.call(AbortSignal, ms / 100));
    const { url, close } = await startAnswering([() => undefined]);
    stop = close;
    const { now, alerts, notes } = await sourceAt(url)
      .snapshot()
      .finally(() => limits.mockRestore());
    expect({ inFlight: now.inFlight, alerts }).toEqual({ inFlight: null, alerts: null });
    expect(notes).toEqual(['Prometheus cannot be asked: it did not answer within 5 s.']);
  });

  test.each([
    ['answers with an error', json(500, {}), 'it answered 500'],
    ['is none', json(200, { hello: 'world' }), 'its answer is none of Prometheus'],
    ['sends elsewhere', json(302, {}, { location: 'http://127.0.0.1:1/' }), 'it cannot be reached'],
  ])('is unknown where it %s, and the notes say so', async (_what, answerer, fault) => {
    const { url, close } = await startAnswering([answerer]);
    stop = close;
    const { now, alerts, lastHour, notes } = await sourceAt(url).snapshot();
    expect(now).toMatchObject({ writesPerSecond: { succeeded: null }, sealLagSeconds: null });
    expect({ alerts, at: lastHour.at }).toEqual({ alerts: null, at: [] });
    expect(notes).toEqual([`Prometheus cannot be asked: ${fault}.`]);
  });
});
