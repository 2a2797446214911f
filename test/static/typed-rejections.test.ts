import { expect, test } from 'vitest';
import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../../activities/ledger/correction-date.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED, postEntry } from '../../activities/ledger/post-entry.ts';
import { defineOperation, defineSetOperation, WORKFLOW_TRIGGERED } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { Rejection } from '../../activities/write/rejection.ts';

/**
 * What the compiler refuses. `npm run typecheck` fails where a line below `@ts-expect-error` compiles; what each test
 * asserts is what would come of that line if it did.
 */
const shared = {
  ...createCustomer,
  params: z.strictObject({}),
  body: z.strictObject({}),
  constraints: {},
  summarize: () => '',
};
const rejections = { too_late: { status: 409, title: 'Too late' } } as const;

const written = { resourceId: '', body: {} };
const tx = { query: async () => [] } as unknown as Tx;
const input = { params: {}, body: {} };
const context = {
  companyId: '',
  userId: '',
  operation: '',
  writeId: '',
  requestId: '',
  approvedBy: null,
  allowPrivateWebhooks: false,
  operations: [],
  rowId: () => '',
  reject: (code: string, detail: string) => new Rejection(code, detail),
};
const entry = { date: '2026-01-01', description: '', lines: [] };

test('a code that the operation declares, and `forbidden`', async () => {
  const operation = defineOperation({
    ...shared,
    rejections,
    constraints: { some_constraint: 'too_late' },
    async write(_tx, _input, { reject, userId }) {
      throw userId === '' ? reject('too_late', 'Too late.') : reject('forbidden', 'Not you.');
    },
  });
  await expect(operation.write(tx, input, context)).rejects.toMatchObject({ code: 'too_late' });
});

test('not a code that is misspelt', async () => {
  const operation = defineOperation({
    ...shared,
    rejections,
    async write(_tx, _input, { reject }) {
      // @ts-expect-error
      throw reject('to_late', 'Too late.');
    },
  });
  await expect(operation.write(tx, input, context)).rejects.toMatchObject({ code: 'to_late' });
});

test('not a constraint that leads to a code that is misspelt', () => {
  const operation = defineOperation({
    ...shared,
    rejections,
    // @ts-expect-error
    constraints: { some_constraint: 'to_late' },
    write: async () => written,
  });
  expect(Object.keys(operation.rejections)).not.toContain(operation.constraints['some_constraint']);
});

test('a helper, by an operation that declares what the helper rejects', async () => {
  const operation = defineOperation({
    ...shared,
    rejections: {
      ...rejections,
      date_before_original: DATE_BEFORE_ORIGINAL,
      period_closed: PERIOD_CLOSED,
      date_too_late: DATE_TOO_LATE,
    },
    constraints: { period_closed: 'period_closed', date_too_late: 'date_too_late' },
    async write(_tx, _input, { ...own }) {
      await postEntry(tx, entry, own);
      correctionDate({ requested: '2025-12-31', today: '', originalDate: '2026-01-01' }, own);
      return written;
    },
  });
  await expect(operation.write(tx, input, context)).rejects.toMatchObject({ code: 'date_before_original' });
});

test('not a helper, by an operation that declares nothing of it', async () => {
  const operation = defineOperation({
    ...shared,
    rejections,
    async write(_tx, _input, own) {
      // @ts-expect-error
      correctionDate({ requested: '2025-12-31', today: '', originalDate: '2026-01-01' }, own);
      return written;
    },
  });
  await expect(operation.write(tx, input, context)).rejects.toMatchObject({ code: 'date_before_original' });
});

test('not posting, by an operation that cannot tell that a period is closed', () => {
  const undeclared = defineOperation({
    ...shared,
    rejections,
    async write(_tx, _input, own) {
      // @ts-expect-error
      await postEntry(tx, entry, own);
      return written;
    },
  });
  const unmapped = defineOperation({
    ...shared,
    rejections: { period_closed: PERIOD_CLOSED },
    // @ts-expect-error
    constraints: {},
    write: async () => written,
  });
  expect(undeclared.rejections['period_closed']).toBeUndefined();
  expect(unmapped.constraints['period_closed']).toBeUndefined();
});

test('not a form for sets, by an operation that triggers workflows: a set records in the audit log that it triggers none', () => {
  const operation = defineSetOperation({
    ...shared,
    rejections,
    // @ts-expect-error
    event: WORKFLOW_TRIGGERED,
    set: { load: async () => undefined, decide: () => written, apply: () => [] },
  });
  expect(operation.event).toBe(WORKFLOW_TRIGGERED);
  expect(operation.set).toBeDefined();
});
