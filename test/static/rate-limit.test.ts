import { afterEach, describe, expect, test, vi } from 'vitest';
import { createRateLimit, enforceRateLimit } from '../../api/http/rate-limit.ts';

afterEach(() => vi.useRealTimers());

describe('a rate limit', () => {
  const taken = (limit: ReturnType<typeof createRateLimit>, company: string, times: number) =>
    Array.from({ length: times }, () => limit.take(company)).filter(Boolean).length;

  test('lets the burst pass at once, and then its rate', () => {
    let now = 1_000_000;
    const limit = createRateLimit(10, 20, () => now);
    expect(taken(limit, 'a', 30)).toBe(20);
    now += 99;
    expect(limit.take('a')).toBe(false);
    now += 1;
    expect(limit.take('a')).toBe(true);
    now += 500;
    expect(taken(limit, 'a', 30)).toBe(5);
  });

  test('is kept for each company, and never holds more than the burst', () => {
    let now = 1_000_000;
    const limit = createRateLimit(10, 20, () => now);
    expect(taken(limit, 'a', 20)).toBe(20);
    expect(taken(limit, 'b', 20)).toBe(20);
    now += 3_600_000;
    expect(taken(limit, 'a', 100)).toBe(20);
  });

  test('forgets no company that has used it, however many there are', () => {
    const limit = createRateLimit(1, 1, () => 1_000_000);
    expect(limit.take('a')).toBe(true);
    for (let index = 0; index < 10_100; index += 1) limit.take(`company-${index}`);
    expect(limit.take('a')).toBe(false);
  });

  test.each(['back', 'ahead'])('a clock that is set %s by an hour neither gives nor takes', (way) => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const limit = createRateLimit(0.001, 5);
    expect(taken(limit, 'a', 4)).toBe(4);
    vi.setSystemTime(Date.now() + (way === 'back' ? -3_600_000 : 3_600_000));
    expect(taken(limit, 'a', 5)).toBe(1);
  });

  test('is told to the one whose company has used it up, and to no other', () => {
    const limit = createRateLimit(1, 1, () => 1_000_000);
    enforceRateLimit(limit, { companyId: 'a' });
    const refused = (detail: string) => expect.objectContaining({ code: 'rate_limited', message: detail });
    expect(() => enforceRateLimit(limit, { companyId: 'a' })).toThrow(
      refused('Send the request again after the pause in Retry-After.'),
    );
    expect(() => enforceRateLimit(limit, { companyId: 'a' }, 'Wait.')).toThrow(refused('Wait.'));
    enforceRateLimit(limit, { companyId: 'b' });
  });
});
