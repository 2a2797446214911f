import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byCurrency, moneyText, sidesOf } from '../../deploy/console/page/money.ts';

describe('an amount in the console', () => {
  test('has the digits that its currency has, and its thousands apart', () => {
    const shown = [
      moneyText(1_234_567, 'USD'),
      moneyText(1_234_567, 'JPY'),
      moneyText(1_234_567, 'KWD'),
      moneyText(5, 'EUR'),
      moneyText(0, 'EUR'),
      moneyText(-100_000, 'EUR'),
      moneyText(-7, 'JPY'),
    ];
    expect(shown).toEqual(['12,345.67', '1,234,567', '1,234.567', '0.05', '0.00', '−1,000.00', '−7']);
  });

  test('is exact, however large: no digit is lost in a float', () => {
    expect(moneyText('9007199254740993', 'USD')).toBe('90,071,992,547,409.93');
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
        fc.constantFrom('USD', 'JPY', 'KWD'),
        (minor, currency) => {
          const text = moneyText(minor.toString(), currency);
          expect(BigInt(text.replace('−', '-').replace(/[,.]/g, ''))).toBe(minor);
        },
      ),
    );
  });

  test('that is no whole number is shown as it came, and not as another', () => {
    expect([moneyText(1.5, 'USD'), moneyText(2 ** 53, 'USD'), moneyText('12a', 'USD')]).toEqual([
      ...['1.5', '9007199254740992', '12a'],
    ]);
  });

  test('is a debit above zero and a credit below', () => {
    expect([sidesOf(5), sidesOf(-5), sidesOf('-9007199254740993'), sidesOf(0)]).toEqual([
      ...[{ debit: '5' }, { credit: '5' }, { credit: '9007199254740993' }, { debit: '0' }],
    ]);
  });

  test('is listed with those of its currency', () => {
    const items = ['USD', 'EUR', 'USD'].map((currency, at) => ({ currency, at }));
    expect(byCurrency(items)).toEqual([
      ['EUR', [items[1]]],
      ['USD', [items[0], items[2]]],
    ]);
  });
});
