import { expect } from 'vitest';
import type { Answer } from './client.ts';

/** All answers of one key tell the same: one status, the same bytes and `Location`, and at most one without the marker. */
export function expectOneStory(answers: readonly Answer[], { status = 201, firsts }: Story = {}): void {
  expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([status]));
  expect(new Set(answers.map((answer) => answer.text)).size).toBe(1);
  expect(new Set(answers.map((answer) => answer.headers.get('location'))).size).toBe(1);
  const unmarked = answers.filter((answer) => !answer.replayed).length;
  if (firsts === undefined) expect(unmarked).toBeLessThanOrEqual(1);
  else expect(unmarked).toBe(firsts);
}

type Story = {
  readonly status?: number;
  /** How many carry no marker, where the test knows: one, or none when another answer was it. */
  readonly firsts?: 0 | 1;
};
