import * as crypto from 'node:crypto';
import { Counter, Gauge, Registry } from 'prom-client';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { onceAMinute } from '../../worker/gauges.ts';
import { mayScrape, metricsPage } from '../../worker/metrics-page.ts';
import { parse, sum } from '../support/metrics-page.ts';

vi.mock('node:crypto', async (original) => {
  const real = await original<typeof crypto>();
  return { ...real, timingSafeEqual: vi.fn<typeof crypto.timingSafeEqual>(real.timingSafeEqual) };
});

describe('a page of metrics', () => {
  function registryWith(collect: () => void | Promise<void>): Registry {
    const registry = new Registry();
    const registers = [registry];
    new Gauge({ name: 'asked', help: 'Asked when scraped', registers, collect });
    new Counter({ name: 'counted_total', help: 'Counted', registers }).inc(3);
    return registry;
  }

  test.each([
    ['rejects', async () => Promise.reject(new Error('the database has gone'))],
    [
      'throws',
      () => {
        throw new Error('the database has gone');
      },
    ],
  ])('is served without a gauge whose question %s, and says so', async (_how, collect) => {
    const page = await metricsPage(registryWith(collect), undefined);
    expect(parse(page)).toEqual([
      { name: 'counted_total', labels: {}, value: 3 },
      { name: 'metrics_left_out', labels: {}, value: 1 },
    ]);
    expect(page).toContain('# asked could not be read\n');
    expect(page).not.toContain('the database has gone');
  });

  test('has every metric of the registry otherwise, as the registry itself writes it', async () => {
    const registry = registryWith(function (this: Gauge) {
      this.set(7);
    });
    const page = await metricsPage(registry, undefined);
    expect(page).toContain((await registry.metrics()).trim());
    expect(sum(parse(page), 'asked')).toBe(7);
    expect(parse(page)).toContainEqual({ name: 'metrics_left_out', labels: {}, value: 0 });
  });
});

describe('the token of a scraper', () => {
  const TOKEN = 'a-token-for-the-scraper';
  const compared = vi.mocked(crypto.timingSafeEqual);
  beforeEach(() => {
    compared.mockClear();
  });

  test('is asked for where it is set', () => {
    expect(mayScrape(undefined, undefined)).toBe(true);
    expect(mayScrape(`Bearer ${TOKEN}`, TOKEN)).toBe(true);
    for (const wrong of [undefined, '', TOKEN, `Bearer ${TOKEN} `, `Bearer ${TOKEN.slice(0, -1)}`, `bearer ${TOKEN}`]) {
      expect([wrong, mayScrape(wrong, TOKEN)]).toEqual([wrong, false]);
    }
  });

  test('is compared in a time that says nothing of how much of it was right, or how long it is', () => {
    const sent = [undefined, 'Bearer a', 'Bearer a-token-for-the-scrapes', `Bearer ${TOKEN}`];
    for (const authorization of sent) mayScrape(authorization, TOKEN);
    expect(compared.mock.calls.map((pair) => pair.map(({ byteLength }) => byteLength))).toEqual(
      sent.map(() => [32, 32]),
    );
  });
});

test('what is asked once a minute is told for its minute, and for another one while no other answer comes', async () => {
  let nowMs = 0;
  let answer: Promise<number | undefined> = Promise.resolve(1);
  let asked = 0;
  const ask = onceAMinute(
    () => {
      asked += 1;
      return answer;
    },
    () => nowMs,
  );
  expect(await ask()).toBe(1);
  nowMs = 59_000;
  expect([await ask(), asked]).toEqual([1, 1]);
  // One that never comes, as of a database that is busy.
  answer = new Promise(() => undefined);
  nowMs = 61_000;
  expect([await ask(), await ask(), asked]).toEqual([1, 1, 2]);
});

test('what was asked once a minute in vain is asked again at once, and an old answer is not told for ever', async () => {
  let nowMs = 0;
  const answers = [1, undefined, undefined, 4];
  const ask = onceAMinute(
    async () => answers.shift(),
    () => nowMs,
  );
  expect(await ask()).toBe(1);
  nowMs = 121_000;
  expect(await ask()).toBeUndefined();
  expect(await ask()).toBeUndefined();
  expect(await ask()).toBe(4);
});
