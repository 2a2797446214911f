import { createHash, randomBytes } from 'node:crypto';
import canonicalize from 'canonicalize';
import { expect, test } from 'vitest';
import { shortestFloat } from '../../activities/audit/archive-seal.ts';
import { auditContent, entryContent, type SealedAuditRow, type SealedEntry } from '../../activities/seal/content.ts';

const SALT = randomBytes(16);
const ENTRY: SealedEntry = {
  companyId: 'c',
  entryId: 'e',
  writeId: 'w',
  operation: 'createJournalEntry',
  date: '2026-03-01',
  description: 'Löhne "März"\u2028\u0001',
  reverses: null,
  metadata: { b: '2', a: '1', é: '3' },
  postedAt: '2026-03-01T09:30:00.000000Z',
  postedBy: 'u',
  approvedBy: 'v',
  requestId: 'r',
  request: 'f'.repeat(64),
  answer: '0'.repeat(64),
  lines: [
    {
      id: 'l1',
      lineNumber: 1,
      accountId: 'a1',
      accountCode: '1000',
      accountType: 'asset',
      amount: '-100000000000000000',
      currency: 'USD',
      memo: 'A memo',
    },
    {
      id: 'l2',
      lineNumber: 2,
      accountId: 'a2',
      accountCode: '3000',
      accountType: 'equity',
      amount: '100000000000000000',
      currency: 'USD',
      memo: null,
    },
  ],
};
const AUDIT_ROW: SealedAuditRow = {
  companyId: 'c',
  id: '9007199254740993',
  timestamp: '2026-03-01T09:30:00.000001Z',
  operation: 'createJournalEntry',
  type: 'financial',
  writeId: null,
  idempotencyKey: 'ключ',
  userId: 'u',
  status: 'failed',
  errorCode: 'date_too_late',
  errorMessage: 'Too late.',
  executionDurationMs: '1e-07',
  requestId: 'r',
  routePath: '/api/ledger/entries',
  httpMethod: 'POST',
  workflowsTriggered: 0,
  sideEffectsExecuted: 1,
  metadata: { set: 3 },
  request: null,
  answer: null,
};

const digestOf = (name: string, value: unknown) =>
  createHash('sha256')
    .update(Buffer.concat([SALT, Buffer.from(canonicalize([name, value]) as string)]))
    .digest('hex');

test('the content of an entry is the canonical JSON of all its members, those that may tell of a person salted', () => {
  const { description, metadata, request, answer, lines, ...plain } = ENTRY;
  const [first, second] = lines;
  expect(entryContent(ENTRY, SALT)).toBe(
    canonicalize({
      ...{ version: 1, log: 'journal', ...plain },
      description: digestOf('description', description),
      metadata: digestOf('metadata', metadata),
      request: digestOf('request', request),
      answer: digestOf('answer', answer),
      lines: [{ ...first, memo: digestOf('lines.0.memo', first?.memo) }, second],
    }),
  );
});

test('the content of an audit row is the canonical JSON of all its members, those that may tell of a person salted', () => {
  const { errorMessage, metadata, ...plain } = AUDIT_ROW;
  expect(auditContent(AUDIT_ROW, SALT)).toBe(
    canonicalize({
      ...{ version: 1, log: 'audit', ...plain },
      errorMessage: digestOf('errorMessage', errorMessage),
      metadata: digestOf('metadata', metadata),
    }),
  );
});

test('where the salt was erased, the digests that were kept give the same content', () => {
  const erased = {
    description: digestOf('description', ENTRY.description),
    metadata: digestOf('metadata', ENTRY.metadata),
    request: digestOf('request', ENTRY.request),
    answer: digestOf('answer', ENTRY.answer),
    'lines.0.memo': digestOf('lines.0.memo', 'A memo'),
  };
  const [first, second] = ENTRY.lines;
  const marked = {
    ...{ ...ENTRY, description: '[erased]', metadata: { erased: '[erased]' }, answer: 'other' },
    lines: [{ ...first, memo: '[erased]' }, second],
  } as SealedEntry;
  expect(entryContent(marked, erased)).toBe(entryContent(ENTRY, SALT));
});

test.each([
  [0, '0'],
  [12.5, '12.5'],
  [0.1 + 0.2, '0.30000000000000004'],
  [0.0001, '0.0001'],
  [0.00001, '1e-05'],
  [1.5e-7, '1.5e-07'],
  [1e-100, '1e-100'],
  [999_999_999_999_999, '999999999999999'],
  [1e15, '1e+15'],
  [1.25e16, '1.25e+16'],
])('a duration of %d ms in an archived row is that of the sealed one: %s', (number, text) => {
  expect(shortestFloat(number)).toBe(text);
});
