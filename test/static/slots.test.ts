import { expect, test } from 'vitest';
import { createSlots } from '../../api/submit/slots.ts';

test('of the submissions in flight, one company has at most half, and all of them at most the limit', () => {
  const slots = createSlots(4);
  const [first, second] = [slots.take('a'), slots.take('a')];
  expect([first, second]).not.toContain(undefined);
  expect(slots.take('a')).toBeUndefined();
  expect(slots.take('b')).toBeDefined();
  expect(slots.take('c')).toBeDefined();
  expect(slots.take('d')).toBeUndefined();
  first?.();
  expect(slots.taken).toBe(3);
  expect(slots.take('d')).toBeDefined();
  expect(slots.take('d')).toBeUndefined();
});
