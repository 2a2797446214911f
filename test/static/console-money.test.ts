import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { foundInWords, mayBeKey, questionOf } from '../../deploy/console/page/find-question.ts';
import { byCurrency, documentInWords, minorUnits, moneyText, sidesOf, sumOf } from '../../deploy/console/page/money.ts';

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

  test('is read as people type it, and as it is shown', () => {
    const typed = [
      minorUnits('25', 'USD'),
      minorUnits('25.5', 'USD'),
      minorUnits('25.', 'USD'),
      minorUnits('12,345.67', 'USD'),
      minorUnits('2500', 'JPY'),
      minorUnits('1.234', 'KWD'),
      minorUnits('25.5', undefined),
      minorUnits('9999999999999.99', 'USD'),
    ];
    expect(typed).toEqual(['2500', '2550', '2500', '1234567', '2500', '1234', '2550', '999999999999999']);
    for (const none of ['', '25,00', '1,23', '25.001', '-1', '1e3', '25 USD', '99999999999999.99']) {
      expect(minorUnits(none, 'USD')).toBeUndefined();
    }
    expect(minorUnits('25.0', 'JPY')).toBeUndefined();
  });

  test('stands with the number of its document, and never without its currency', () => {
    const [number, money] = ['RCT-000005', { amount: 2_500, currency: 'USD' }];
    expect(documentInWords({ number, ...money })).toBe('25.00 USD · RCT-000005');
    expect(documentInWords({ number: null, ...money })).toBe('25.00 USD');
    expect(documentInWords({ number, amount: null, currency: null })).toBe('RCT-000005');
    expect(documentInWords({ number: null, amount: 2_500, currency: null })).toBe('');
    expect([documentInWords(null), documentInWords(undefined)]).toEqual(['', '']);
  });

  test('is listed with those of its currency', () => {
    const items = ['USD', 'EUR', 'USD'].map((currency, at) => ({ currency, at }));
    expect(byCurrency(items)).toEqual([
      ['EUR', [items[1]]],
      ['USD', [items[0], items[2]]],
    ]);
  });
});

describe('a question for a write', () => {
  test('is one for a key or an ID, one for a day, or none', () => {
    expect(questionOf({}, 'USD')).toEqual({ kind: 'none' });
    expect(questionOf({ q: 'k' }, 'USD')).toEqual({ kind: 'id', id: 'k' });
    expect(questionOf({ day: '2026-01-31' }, 'USD')).toEqual({ kind: 'day', day: '2026-01-31', amount: undefined });
    expect(questionOf({ day: '2026-01-31', amount: '25' }, 'USD')).toMatchObject({ kind: 'day', amount: '2500' });
  });

  test('with a key asks for the key alone', () => {
    expect(questionOf({ q: 'k', day: '2026-01-31', amount: 'none' }, 'USD')).toEqual({ kind: 'id', id: 'k' });
  });

  test('that cannot be asked is refused at its field, and is no other question', () => {
    expect(questionOf({ amount: '25' }, 'USD')).toMatchObject({ kind: 'refused', field: 'day' });
    expect(questionOf({ day: 'yesterday' }, 'USD')).toMatchObject({ kind: 'refused', field: 'day' });
    const refused = { kind: 'refused', field: 'amount' };
    const day = '2026-01-31';
    expect(questionOf({ day, amount: '25,00' }, 'USD')).toEqual({
      ...refused,
      why: '25,00 is no amount in USD, such as 25.00.',
    });
    expect(questionOf({ day, amount: '25.00' }, 'JPY')).toEqual({
      ...refused,
      why: '25.00 is no amount in JPY, such as 2500.',
    });
  });

  test('for a key is asked only of what can be one', () => {
    expect(['k', 'a key', '~', 'x'.repeat(255)].every(mayBeKey)).toBe(true);
    expect(['', '.', '..', 'schlüssel', 'x'.repeat(256)].some(mayBeKey)).toBe(false);
  });

  test('is answered with all that was found, or says that it is the first of it', () => {
    expect([foundInWords(50, false), foundInWords(50, true)]).toEqual(['50 found', 'The first 50']);
  });
});

test('amounts are added up exactly, and what is no whole number is shown and not lost', () => {
  expect(sumOf([])).toBe('0');
  expect(sumOf([1, '9007199254740993', -2])).toBe('9007199254740992');
  expect(sumOf([1, 0.5, 2])).toBe(0.5);
});
