import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkControls } from '../../activities/controls/controls.ts';
import { type Actor, type Actors, actors, claimByHand } from '../support/actors.ts';
import { closeBooks, readEntry } from '../support/books.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';
import { takeBack } from '../support/take-back.ts';
import { writeOffByHand } from '../support/write-off-by-hand.ts';

/** The numbers here are worked out by hand from the rules of the books, not by the code under test. */
let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
});
afterAll(() => system.stop());

const told = ({ status, json }: Answer) => [status, json.code];
const invoice = async (id: string) => (await company.api.get(`/api/invoices/${id}`)).json;
const invoiceOf = async (...prices: readonly number[]): Promise<string> => {
  const { id } = await company.api.created('/api/invoices', {
    ...{ customerId: await company.customer(), currency: 'USD', issueDate: '2026-01-15', dueDate: '2026-12-31' },
    lines: prices.map((unitPrice) => ({ description: 'Work', quantity: '1', unitPrice, taxRateBasisPoints: 825 })),
  });
  await company.api.created(`/api/invoices/${id}/finalize`, {});
  return id;
};
type Part = readonly [lineNumber: number, net: number];
const creditOn = (date: string, invoiceId: string, ...parts: readonly Part[]) =>
  company.api.created(`/api/invoices/${invoiceId}/credit-notes`, {
    ...{ lines: parts.map(([lineNumber, net]) => ({ lineNumber, net })), reason: 'Not as ordered', date },
  });
const credit = (invoiceId: string, ...parts: readonly Part[]) => creditOn('2026-02-10', invoiceId, ...parts);
const voiding = (id: string, more: object = {}, key?: string) =>
  company.api.post(
    `/api/credit-notes/${id}/void`,
    { reason: 'Wrong', date: '2026-02-20', ...more },
    key === undefined ? {} : { key },
  );

/** Three lines that take off 7 with tax 1 each, and six that cost as much: at their rate, net 21 and tax 3 in all. */
const withTakenOff = () => invoiceOf(7, 7, 7, 7, 7, 7, -7, -7, -7);

describe('voiding a credit note', () => {
  test('posts the mirror of its entry, and its total is due again', async () => {
    const invoiceId = await invoiceOf(500);
    const note = await credit(invoiceId, [1, 200]);
    expect(note).toMatchObject({ net: 200, tax: 16, voidedOn: null, voidReason: null });
    const answer = await voiding(note.id, {}, 'void-note');
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({ ...note, voidedOn: '2026-02-20', voidReason: 'Wrong' });
    expect(answer.headers.get('location')).toBe(`/api/credit-notes/${note.id}`);
    expect((await company.api.get(`/api/credit-notes/${note.id}`)).json).toEqual(answer.json);
    const { rows } = await system.owner.query('SELECT id FROM journal_entries WHERE reverses = $1', [
      note.journalEntryId,
    ]);
    expect(await readEntry(system.owner, company.id, rows[0].id)).toEqual({
      date: '2026-02-20',
      operation: 'voidCreditNote',
      lines: [
        ['4000', -200, 'USD'],
        ['2100', -16, 'USD'],
        ['1100', 216, 'USD'],
      ],
    });
    expect(await invoice(invoiceId)).toMatchObject({ status: 'finalized', amountCredited: 0, amountDue: 541 });
    const again = await voiding(note.id, {}, 'void-note');
    expect([again.status, again.text, again.replayed]).toEqual([200, answer.text, true]);
    expect(told(await voiding(note.id))).toEqual([409, 'already_voided']);
  });

  test('leaves its lines to be credited again, each with all of its tax in the end', async () => {
    const invoiceId = await invoiceOf(500, 100);
    const [first, second] = [await credit(invoiceId, [1, 200]), await credit(invoiceId, [1, 300], [2, 50])];
    expect([first.tax, second.tax]).toEqual([16, 25 + 4]);
    expect((await voiding(second.id)).status).toBe(200);
    const [third, fourth] = [
      await creditOn('2026-02-20', invoiceId, [1, 299]),
      await creditOn('2026-02-20', invoiceId, [1, 1], [2, 100]),
    ];
    // 41 × 299 / 500 = 24.5…, and what is left: 41 − 16 − 25.
    expect([third.tax, fourth.tax]).toEqual([25, 0 + 8]);
    expect(await invoice(invoiceId)).toMatchObject({ status: 'paid', amountCredited: 649, amountDue: 0 });
  });

  test('is refused while a later note of one of its lines stands, though not for one of another line', async () => {
    const invoiceId = await invoiceOf(500, 100);
    const [first, other, second] = [
      await credit(invoiceId, [1, 200]),
      await credit(invoiceId, [2, 10]),
      await credit(invoiceId, [1, 1], [2, 10]),
    ];
    const refused = await voiding(first.id);
    expect([...told(refused), refused.json.detail]).toEqual([
      ...[409, 'not_latest_credit'],
      `${second.number} has credited a line of it later.`,
    ]);
    expect(told(await voiding(other.id))).toEqual([409, 'not_latest_credit']);
    for (const { id } of [second, first, other]) expect((await voiding(id)).status).toBe(200);
    expect((await company.api.post(`/api/invoices/${invoiceId}/void`, { reason: 'Wrong' })).json.status).toBe('void');
  });

  test('is refused where a later note of another line got less tax because of it, at a rate with lines that take off', async () => {
    const invoiceId = await withTakenOff();
    const first = await credit(invoiceId, [2, 4], [3, 4], [4, 4]);
    const last = await credit(invoiceId, [1, 7]);
    // Each 4/7, which is 1 and all that there is: nothing is left for the last.
    expect([first.tax, last.tax]).toEqual([3, 0]);
    expect(told(await voiding(first.id))).toEqual([409, 'not_latest_credit']);
    for (const { id } of [last, first]) expect((await voiding(id)).status).toBe(200);
    expect((await creditOn('2026-02-20', invoiceId, [1, 7])).tax).toBe(1);
  });

  test('is dated on or after the note, in an open period; unknown is unknown', async () => {
    const note = await credit(await invoiceOf(500), [1, 200]);
    expect(told(await voiding(note.id, { date: '2026-02-09' }))).toEqual([422, 'date_before_original']);
    await closeBooks(company, '2026-02-20');
    expect(told(await voiding(note.id))).toEqual([409, 'period_closed']);
    await closeBooks(company, '2025-12-31');
    expect((await voiding(note.id, { date: '2026-02-10' })).json.voidedOn).toBe('2026-02-10');
    expect(told(await voiding('00000000-0000-4000-8000-000000000000'))).toEqual([404, 'credit_note_not_found']);
  });

  test('is refused before the void of a refund, if more than the total would be due until then', async () => {
    const { note } = await twiceRefunded();
    const early = await voiding(note.id, { date: '2026-02-11' });
    expect([...told(early), early.json.detail]).toEqual([
      ...[422, 'as_of_conflict', '1.08 USD is due on the invoice as of 2026-02-12 already.'],
    ]);
    expect((await voiding(note.id, { date: '2026-02-20' })).status).toBe(200);
  });
});

/** Of 108, 54 credited and 54 paid, which were refunded from the 10th to the 20th, and again from the 12th on. */
async function twiceRefunded() {
  const invoiceId = await invoiceOf(100);
  const note = await credit(invoiceId, [1, 50]);
  const payment = await company.api.created('/api/payments', {
    ...{ invoiceId, amount: 54, currency: 'USD', method: 'card', receivedOn: '2026-02-01' },
  });
  const refund = (date: string) =>
    company.api.created('/api/refunds', { paymentId: payment.id, amount: 54, reason: 'Back', date });
  const { id } = await refund('2026-02-10');
  await company.api.created(`/api/refunds/${id}/void`, { reason: 'Wrong', date: '2026-02-20' });
  await refund('2026-02-12');
  return { invoiceId, note, payment };
}

describe('the database itself refuses, also of the owner,', () => {
  const VOID = "void_reason = 'by hand', void_entry_id = journal_entry_id";
  const voidNote = (id: string, day = '2026-02-20') =>
    refusalOf(`UPDATE credit_notes SET voided_on = $2, ${VOID} WHERE id = $1`, [id, day]);

  test('to void a note before a later one', async () => {
    const invoiceId = await invoiceOf(500);
    const [first, second] = [await credit(invoiceId, [1, 200]), await credit(invoiceId, [1, 1])];
    expect([await voidNote(first.id), await voidNote(second.id)]).toEqual(['not_latest_credit', undefined]);
    const taken = await withTakenOff();
    const [early, late] = [await credit(taken, [2, 4], [3, 4], [4, 4]), await credit(taken, [1, 7])];
    expect([await voidNote(early.id), await voidNote(late.id)]).toEqual(['not_latest_credit', undefined]);
  });

  test('what would make more than the total due as of a day', async () => {
    const { note } = await twiceRefunded();
    expect(await voidNote(note.id, '2026-02-19')).toBe('as_of_conflict');
    expect(await voidNote(note.id)).toBeUndefined();
    const other = await credit(await invoiceOf(100), [1, 1]);
    expect(await voidNote(other.id, '2026-02-09')).toBe('credit_notes_void_on_or_after_credit');
    const invoiceId = await invoiceOf(100);
    const paid = { invoiceId, amount: 108, currency: 'USD', method: 'card', receivedOn: '2026-02-01' };
    const payment = await company.api.created('/api/payments', paid);
    const refund = { paymentId: payment.id, amount: 108, reason: 'Back', date: '2026-02-10' };
    const { id } = await company.api.created('/api/refunds', refund);
    const voidPayment = (day: string) =>
      refusalOf(`UPDATE payments SET voided_on = $2, bounced = false, ${VOID} WHERE id = $1`, [payment.id, day]);
    expect(await voidPayment('2026-02-20')).toBe('payments_void_not_refunded');
    await company.api.created(`/api/refunds/${id}/void`, { reason: 'Wrong', date: '2026-02-20' });
    expect(await voidPayment('2026-02-19')).toBe('as_of_conflict');
    expect(await voidPayment('2026-01-31')).toBe('as_of_conflict');
    expect(await voidPayment('2026-02-20')).toBeUndefined();
    const again = `INSERT INTO refunds (company_id, id, payment_id, amount_minor, refunded_on, reason, journal_entry_id)
      SELECT company_id, gen_random_uuid(), id, 1, $2, 'by hand', journal_entry_id FROM payments WHERE id = $1`;
    expect(await refusalOf(again, [payment.id, '2026-02-19'])).toBe('as_of_conflict');
    expect(await refusalOf(again, [payment.id, '2026-02-20'])).toBeUndefined();
  });

  test('to void a refund where less is due, in all or as of a day', async () => {
    const invoiceId = await invoiceOf(100);
    const pay = (receivedOn: string) =>
      company.api.created('/api/payments', { invoiceId, amount: 108, currency: 'USD', method: 'card', receivedOn });
    const { id: paymentId } = await pay('2026-02-01');
    const refund = { paymentId, amount: 108, reason: 'Back', date: '2026-02-10' };
    const { id, journalEntryId } = await company.api.created('/api/refunds', refund);
    const second = await pay('2026-02-12');
    const byHand = `SELECT record_refund_void(p_company => '${company.id}', p_refund => $1, p_date => $2, p_reason => 'by hand',
      p_entry => '${journalEntryId}')`;
    expect(await refusalOf(byHand, [id, '2026-02-20'])).toBe('invoices_never_overpaid');
    await company.api.created(`/api/payments/${second.id}/void`, { reason: 'Wrong', date: '2026-02-20' });
    expect(await refusalOf(byHand, [id, '2026-02-19'])).toBe('as_of_conflict');
    expect(await refusalOf(byHand, [id, '2026-02-09'])).toBe('as_of_conflict');
    expect(await refusalOf(byHand, [id, '2026-02-20'])).toBeUndefined();
  });

  test('to write off more than is due, in all or as of a day, or to recover another than the latest', async () => {
    const { invoiceId, note, payment } = await twiceRefunded();
    const writeOff = (id: string, amount: number, day: string) =>
      `SELECT record_write_off(p_company => company_id, p_write_off => '${id}', p_invoice => id, p_amount => ${amount},
        p_tax => (round(tax_minor * (written_off_minor + ${amount})::numeric / total_minor)
          - round(tax_minor * written_off_minor::numeric / total_minor))::bigint,
        p_tax_relief => false, p_date => '${day}', p_reason => 'by hand', p_entry => '${note.journalEntryId}')
       FROM invoices WHERE company_id = '${company.id}' AND id = '${invoiceId}'`;
    const recover = (id: string, day: string) =>
      `SELECT record_recovery(p_company => '${company.id}', p_write_off => '${id}', p_date => '${day}', p_reason => 'by hand',
        p_entry => '${payment.journalEntryId}')`;
    const [one, two] = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'];
    const day = '2026-02-25';
    expect(await refusalOf(writeOff(one, 55, day))).toBe('invoices_never_overpaid');
    expect(await refusalOf(writeOff(one, 54, day))).toBeUndefined();
    expect(await refusalOf(writeOff(one, 1, '2026-01-14'))).toBe('date_before_invoice');
    // From the 12th to the 20th, 108 were due, before that 54.
    expect(
      await refusalOf(
        `${writeOff(one, 54, '2026-02-12')}; ${recover(one, '2026-02-20')}; ${writeOff(two, 54, '2026-02-09')}`,
      ),
    ).toBeUndefined();
    expect(
      await refusalOf(
        `${writeOff(one, 54, '2026-02-09')}; ${recover(one, '2026-02-20')}; ${writeOff(two, 1, '2026-02-10')}`,
      ),
    ).toBe('as_of_conflict');
    const both = `${writeOff(one, 10, day)}; ${writeOff(two, 10, day)}`;
    expect(await refusalOf(`${both}; ${recover(one, day)}`)).toBe('not_latest_write_off');
    expect(await refusalOf(`${both}; ${recover(two, '2026-02-24')}`)).toBe('write_offs_recovered_on_or_after');
    expect(await refusalOf(`${both}; ${recover(two, day)}; ${recover(one, day)}`)).toBeUndefined();
  });
});

describe('the application cannot name as the entry of a void', () => {
  let sql: Actors;
  beforeAll(() => {
    sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  });
  afterAll(() => sql.end());

  const MADE = { reason: 'Wrong', date: '2026-02-20' };
  /** The table, the operation that voids its rows, and a new row with its entry. */
  const each: readonly (readonly [string, string, () => Promise<{ id: string; journalEntryId: string }>])[] = [
    ['payments', 'voidPayment', payment],
    ['credit_notes', 'voidCreditNote', async () => credit(await invoiceOf(100), [1, 1])],
    [
      'refunds',
      'voidRefund',
      async () => company.api.created('/api/refunds', { ...MADE, paymentId: (await payment()).id, amount: 1 }),
    ],
    ['write_offs', 'recoverWriteOff', writeOff],
  ];
  async function payment() {
    return company.api.created('/api/payments', paymentBody(await company.invoice()));
  }
  async function writeOff() {
    const id = await company.invoice();
    await company.api.post(`/api/invoices/${id}/write-off`, { ...MADE, amount: 1 });
    const { rows } = await system.owner.query(
      'SELECT id, journal_entry_id AS entry FROM write_offs WHERE invoice_id = $1',
      [id],
    );
    return { id: rows[0].id, journalEntryId: rows[0].entry };
  }

  test.each(each)('in %s any but the mirror by %s, of the day', async (table, operation, make) => {
    const [row, other] = [await make(), await make()];
    const attempt = (entry: { operation: string; date: string; reverses: string } | undefined) =>
      sql.as('application', company.id, async (client) => {
        let entryId = row.journalEntryId;
        if (entry !== undefined) {
          entryId = await claimByHand(client, company.id, company.users.owner.id, entry.operation);
          const values = [company.id, entryId, entry.operation, entry.date, entry.reverses];
          await client.query("SELECT post_mirror($1, $2, $2, $3, $4, 'by hand', $5)", values);
        }
        const set =
          table === 'write_offs'
            ? "recovered_on = '2026-02-21', recover_reason = 'x', recover_entry_id = $1"
            : `voided_on = '2026-02-21', void_reason = 'x', void_entry_id = $1${table === 'payments' ? ', bounced = false' : ''}`;
        await client.query(`UPDATE ${table} SET ${set} WHERE id = $2`, [entryId, row.id]);
        await client.query('SET CONSTRAINTS require_entry_of_void, require_entry_of_recovery IMMEDIATE');
        throw new Error('taken, and rolled back');
      });
    const right = { operation, date: '2026-02-21', reverses: row.journalEntryId };
    for (const wrong of [
      undefined,
      { ...right, operation: 'voidInvoice' },
      { ...right, date: '2026-02-22' },
      { ...right, reverses: other.journalEntryId },
    ]) {
      await expect(attempt(wrong), JSON.stringify(wrong)).rejects.toMatchObject({ constraint: 'entry_of_way_back' });
    }
    await expect(attempt(right)).rejects.toThrow('taken');
  });
});

/** SQLSTATE of what a trigger refuses (PostgreSQL, appendix A). */
const REFUSED_BY_TRIGGER = '23001';

describe.each<Actor>(['application', 'owner'])('what is void stays void, also for the %s', (actor) => {
  let own: Company;
  let sql: Actors;
  beforeAll(async () => {
    own = await system.company();
    sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
    const [payment] = [
      await own.api.created('/api/payments', paymentBody(await own.invoice())),
      await own.api.created('/api/payments', paymentBody(await own.invoice())),
    ];
    await takeBack(own, payment);
    await writeOffByHand(sql, own, payment);
  });
  afterAll(() => sql.end());

  const VOID = "voided_on = '2026-12-31', void_reason = 'Wrong', void_entry_id = journal_entry_id";
  test.each([
    ['payments', `${VOID}, bounced = false`, 'voided_on IS NULL AND refunded_minor = 0'],
    ['refunds', VOID, 'voided_on IS NULL'],
    ['credit_notes', VOID, 'voided_on IS NULL'],
    ['write_offs', "recovered_on = '2026-12-31', recover_reason = 'Paid', recover_entry_id = journal_entry_id", 'true'],
  ])('in %s', async (table, change, which) => {
    const [column] = change.split(' ');
    for (const again of [
      `${column} = ${column}`,
      `${change.split(', ')[1]}`,
      change.replaceAll(/'[^']*'|journal_entry_id/g, 'NULL'),
    ]) {
      const undoing = sql.as(actor, own.id, async (client) => {
        const { rowCount } = await client.query(`UPDATE ${table} SET ${change} WHERE ${which}`);
        if (rowCount === 0) throw new Error('nothing to void');
        await client.query(`UPDATE ${table} SET ${again} WHERE ${column} IS NOT NULL`);
      });
      await expect(undoing, again).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
    }
  });
});

test('all books of this file are right, whatever was refused in them', async () => {
  const checked = await checkControls(system.owner, [company.id]);
  expect(checked.filter(({ broken }) => broken.length > 0)).toEqual([]);
});

/** The constraint that refuses a statement of the owner; undefined if none does. It is undone in any case. */
async function refusalOf(statement: string, values?: readonly unknown[]): Promise<string | undefined> {
  const client = await system.owner.connect();
  try {
    await client.query('BEGIN');
    await client.query(statement, values && [...values]);
    return undefined;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return error.constraint;
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}
