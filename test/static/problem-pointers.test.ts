import { expect, test } from 'vitest';
import { z } from 'zod';
import { problemPointers } from '../../activities/problem-pointers.ts';

const schema = z.strictObject({ 'a/b~': z.strictObject({ amount: z.int() }) });
const unknownMembers = Object.fromEntries(Array.from({ length: 80 }, (_, index) => [`x${index}`, 1]));

test('a problem is told by its JSON pointer, an unknown member by its own', () => {
  const { error } = schema.safeParse({ 'a/b~': { amount: 'ten', 'c/d': 1 }, e: 1 });
  const pointers = problemPointers('body', error);
  expect(pointers.map(({ pointer }) => pointer)).toEqual(['/a~1b~0/amount', '/a~1b~0/c~1d', '/e']);
  expect(pointers.slice(1).map(({ message }) => message)).toEqual(Array(2).fill('is not a member of this request'));
});

test('of one part of a request no more than a hundred are told, wherever they stand', () => {
  const { error } = schema.safeParse({ 'a/b~': { amount: 1, ...unknownMembers }, ...unknownMembers });
  expect(problemPointers('body', error)).toHaveLength(100);
});

test('what has no problem has no pointers', () => {
  expect(problemPointers('path', schema.safeParse({ 'a/b~': { amount: 1 } }).error)).toEqual([]);
});
