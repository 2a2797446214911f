import { describe, expect, test } from 'vitest';
import { rowId, workflowIdOf, writeId } from '../../activities/identity.ts';

const COMPANY = '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e01';

/** As Python computes them: uuid.uuid5(uuid.UUID('b3977cab-…'), 'company:…:op:…:key:…'). */
describe('identities that are published, and so never change', () => {
  const payment = writeId(COMPANY, 'createPayment', 'order-1');

  test('the ID of a write follows from company, operation and key', () => {
    expect(payment).toBe('4106a0ca-0205-5de5-ad0f-4cb54c609d5f');
  });

  test('the ID of a further row follows from the write, the table and the position', () => {
    expect(rowId(payment, 'journal_lines', 0)).toBe('450610b3-93b1-5ad2-a67f-0ee50fa64be2');
    expect(rowId(payment, 'journal_lines', 1)).toBe('51ee52fd-3cd3-5bb7-a737-783735fae635');
  });

  test('the ID of a workflow holds the key, or the SHA-256 of one that has other characters', () => {
    expect(workflowIdOf(COMPANY, 'order-1')).toBe(`${COMPANY}:order-1`);
    expect(workflowIdOf(COMPANY, 'an order')).toBe(`${COMPANY}:~zW9r65GawSgATaEGf-sQBwBtDFxEG9nJBh4CbfgZ80g`);
  });
});
