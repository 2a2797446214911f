import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseInput } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { expectAnswer, expectOutcome, OPERATION_WEIGHTS } from '../../deploy/simulate/requests/generate.ts';
import { newBooks, randomSteps, requestOf } from '../support/random-requests.ts';

const COMPANY_ID = '00000000-0000-4000-8000-000000000001';
const USERS = {
  owner: '00000000-0000-4000-8000-000000000002',
  admin: '00000000-0000-4000-8000-000000000003',
  accountant: '00000000-0000-4000-8000-000000000004',
  manager: '00000000-0000-4000-8000-000000000005',
  newcomer: '00000000-0000-4000-8000-000000000006',
};

describe('generated requests', () => {
  test('are made of every operation', () => {
    const names = OPERATION_WEIGHTS.map(([name]) => name);
    expect(names.toSorted()).toEqual(OPERATIONS.map(({ name }) => name).toSorted());
    expect(Math.min(...OPERATION_WEIGHTS.map(([, weight]) => weight))).toBeGreaterThan(0);
  });

  test('fit the schema of their operation, and are refused with codes of its own', () => {
    const check = fc.property(randomSteps(60, 60), (steps) => {
      const books = newBooks(COMPANY_ID, USERS);
      for (const [index, step] of steps.entries()) {
        const generated = requestOf(books, step);
        const { operation, request } = generated;
        const params = [...operation.path.matchAll(/:(\w+)/g)].map(([, name]) => [name, request.target]);
        parseInput(operation, { params: Object.fromEntries(params), body: request.body });
        const { code = 'forbidden' } = expectAnswer(books, generated, `step-${index}`);
        expect(['forbidden', 'not_a_member', ...Object.keys(operation.rejections)]).toContain(code);
        expectOutcome(books, generated, `step-${index}`).apply?.();
      }
    });
    fc.assert(check, { numRuns: 100 });
  });
});
