import { describe, expect, test } from 'vitest';
import { formatAmount, isCurrency } from '../../activities/currencies.ts';

describe('currencies', () => {
  test('are those in use, and no precious metals, funds or codes of the past', () => {
    for (const code of ['USD', 'EUR', 'JPY', 'KWD', 'CHF', 'ZWG', 'XCG', 'XOF'])
      expect([code, isCurrency(code)]).toEqual([code, true]);
    for (const code of ['DEM', 'HRK', 'XAU', 'XXX', 'XTS', 'CLF', 'usd', 'US', '', 'constructor']) {
      expect([code, isCurrency(code)]).toEqual([code, false]);
    }
  });

  test('show an amount with as many digits behind the point as they have', () => {
    expect(formatAmount(1_234_567n, 'USD')).toBe('12345.67 USD');
    expect(formatAmount(1_234_567, 'JPY')).toBe('1234567 JPY');
    expect(formatAmount(1_234_567, 'KWD')).toBe('1234.567 KWD');
    expect(formatAmount(5, 'USD')).toBe('0.05 USD');
    expect(formatAmount(-5n, 'KWD')).toBe('-0.005 KWD');
    expect(formatAmount(0, 'JPY')).toBe('0 JPY');
    expect(formatAmount(10_000_000_000_000n, 'USD')).toBe('100000000000.00 USD');
  });
});
