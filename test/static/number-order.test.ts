import { expect, test } from 'vitest';
import { outOfDateOrder, warnsOutOfDateOrder } from '../../deploy/simulate/number-order.ts';

const answer = (number: string, issueDate: string, warnings?: readonly object[]) =>
  JSON.stringify({ number, issueDate, warnings });

test('an invoice is out of date order if an invoice with a lower number is dated later, also beyond six digits', () => {
  const [first, same, early, next, seventh] = [
    answer('INV-000001', '2026-02-10'),
    answer('INV-000002', '2026-02-10'),
    answer('INV-000003', '2026-02-09'),
    answer('INV-999999', '2026-03-01'),
    answer('INV-1000000', '2026-02-28'),
  ];
  expect(outOfDateOrder([seventh, early, next, first, same])).toEqual([early, seventh]);
});

test('an answer warns of it by its code', () => {
  expect(warnsOutOfDateOrder(answer('INV-000001', '2026-02-10', [{ code: 'number_out_of_date_order' }]))).toBe(true);
  expect(warnsOutOfDateOrder(answer('INV-000001', '2026-02-10', [{ code: 'another' }]))).toBe(false);
  expect(warnsOutOfDateOrder(answer('INV-000001', '2026-02-10'))).toBe(false);
});
