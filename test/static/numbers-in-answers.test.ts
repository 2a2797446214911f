import { describe, expect, test } from 'vitest';
import type { Tx } from '../../activities/database.ts';
import { DEMO } from '../../activities/demo.ts';
import { writeId } from '../../activities/identity.ts';
import { type Input, type Operation, parseInput, type Written } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { documentNumber, NUMBER_TO_COME } from '../../activities/resources/document-number.ts';
import { successOf } from '../../activities/write/finish.ts';
import { Rejection } from '../../activities/write/rejection.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import { decideContext } from '../support/decide-context.ts';

const COMPANY = decideContext().companyId;
const NUMBERED = OPERATIONS.flatMap((operation) =>
  operation.takesNumber === undefined ? [] : [{ name: operation.name, kind: operation.takesNumber, operation }],
);

/** More than what there is suffices for: some of them succeed, and the rest are rejected. */
const WRITES = 20;

/**
 * What `finish_writes` relies on: it gives the n-th success of a set the n-th of the numbers that the set has taken, and puts it
 * into the answer at the first place for one.
 */
describe.each(NUMBERED)('a set of $name', ({ name, kind, operation }) => {
  async function decided() {
    const { set } = operation;
    if (set === undefined) throw new Error(`${name} has no form for sets: this test has to learn of its single writes`);
    const input = inputOf(operation);
    const { tx, sent } = transactionThatFinds();
    const state = await set.load(
      tx,
      COMPANY,
      Array.from({ length: WRITES }, () => input),
    );
    const successes: Written[] = [];
    for (let index = 0; index < WRITES; index += 1) {
      const context = decideContext({ writeId: writeId(COMPANY, name, `write-${index}`) });
      try {
        successes.push(set.decide(state, input, context));
      } catch (error) {
        if (!(error instanceof Rejection)) throw error;
      }
    }
    sent.length = 0;
    await Promise.all(set.apply(tx, COMPANY, state));
    return { successes, sent };
  }

  test('records one document for each success, in their order, by its last statement', async () => {
    const { successes, sent } = await decided();
    expect(successes.length).toBeGreaterThan(0);
    expect(successes.length).toBeLessThan(WRITES);
    const documents: readonly { readonly id: string }[] = JSON.parse(String(sent.at(-1)?.[1]));
    expect(documents.map(({ id }) => id)).toEqual(successes.map(({ resourceId }) => resourceId));
  });

  test('answers with the number after the ID and with no other one that is to come, whatever a client has written', async () => {
    const { successes } = await decided();
    for (const written of successes) {
      const { body } = written;
      expect(Object.keys(body).slice(0, 2)).toEqual(['id', 'number']);
      const { number, metadata: _, ...rest } = body;
      expect(JSON.stringify(rest)).not.toContain(`"number":${JSON.stringify(NUMBER_TO_COME)}`);

      const { body: text, toCome } = successOf(
        operation,
        { request: { id: 'a-request' } } as WriteArguments,
        decideContext(),
        written,
      );
      const isToCome = number === NUMBER_TO_COME;
      expect(toCome?.kind).toBe(isToCome ? kind : undefined);
      const given = documentNumber(kind, 7);
      expect(isToCome ? text + given + toCome?.rest : text).toBe(
        JSON.stringify(isToCome ? { ...body, number: given } : body),
      );
    }
  });
});

/** Its first example. Where clients write what they like, there is what looks like a number that is to come, even what is refused. */
function inputOf(operation: Operation): Input {
  const [example] = operation.examples;
  const { params, body } = parseInput(operation, { params: example?.params, body: example?.body });
  const written = { metadata: { number: NUMBER_TO_COME }, reference: '"number":""', reason: '"number":""' };
  const allowed = Object.entries(written).filter(([member]) => member in operation.body.shape);
  return { params, body: { ...body, ...Object.fromEntries(allowed) } };
}

/** A transaction whose statements find these rows, by the function or table that they read; `sent` has their values. */
function transactionThatFinds(): { readonly tx: Tx; readonly sent: (readonly unknown[])[] } {
  const sent: (readonly unknown[])[] = [];
  const invoice = { currency: 'USD', issue_date: '2026-03-01', due_minor: 40_000n };
  const line = { line_number: 1, account: '4000', tax_rate_thousandths: 0, net_minor: 40_000n, tax_minor: 0n };
  const found: Readonly<Record<string, object>> = {
    lock_claims: { ...invoice, id: DEMO.finalizedInvoiceId, status: 'finalized', later: null },
    lock_refundable: {
      ...{ id: DEMO.refundablePaymentId, invoice_id: DEMO.finalizedInvoiceId, currency: 'USD' },
      ...{ amount_minor: 4_000n, refunded_minor: 0n, received_on: '2026-03-01', bank_account: '1000' },
      ...{ voided_on: null, room_minor: 4_000n, later: null },
    },
    lock_invoices: {
      ...{ ...invoice, id: DEMO.draftInvoiceId, status: 'draft', due_date: '2026-12-31', number: null },
      ...{
        subtotal_minor: 40_000n,
        tax_minor: 0n,
        total_minor: 40_000n,
        paid_minor: 0n,
        credited_minor: 0n,
        written_off_minor: 0n,
      },
    },
    invoice_lines: { ...line, invoice_id: DEMO.finalizedInvoiceId, credited_net_minor: 0n, credited_tax_minor: 0n },
    numbering_facts: { closed_through: null, latest: '2027-03-11', last_number: 41, latest_date: null },
    posting_facts: {
      ...{ now: '2026-03-10T12:00:00.000Z', today: '2026-03-10', closed_through: null, latest: '2027-03-11' },
      accounts: { 1000: { id: 'bank-id', type: 'asset', isBank: true, isControl: false } },
    },
  };
  const tx: Tx = {
    query<Row>(text: string, values: readonly unknown[] = []) {
      sent.push(values);
      const [, from = ''] = /FROM (\w+)/.exec(text) ?? [];
      const row = found[from];
      return Promise.resolve(row === undefined ? [] : [row as Row]);
    },
  };
  return { tx, sent };
}
