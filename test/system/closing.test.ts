import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { closeBooks } from '../support/books.ts';
import type { Answer } from '../support/client.ts';
import { paymentBody } from '../support/effects.ts';
import { until, untilWaiting } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

/** What is posted here is dated on this day, or on one of the days before. */
const CLOSED_THROUGH = '2026-02-28';
/** How many postings are sent before the books are closed, at that moment, and while they are closed but not committed. */
const BEFORE = 30;
const DURING = 10;
const AFTER = 10;
const POSTINGS = BEFORE + DURING + AFTER;
const ANSWERED_BEFORE_CLOSING = 10;

describe('once the books are closed, they are closed', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system.stop());

  /** A connection of its own in a transaction, rolled back and given back when the test ends, however it ends. */
  async function openTransaction(): Promise<pg.PoolClient> {
    const client = await system.owner.connect();
    onTestFinished(async () => {
      await client.query('ROLLBACK');
      client.release();
    });
    await client.query('BEGIN');
    return client;
  }

  const close = (client: pg.PoolClient, companyId: string) =>
    client.query('UPDATE companies SET books_closed_through = $2 WHERE id = $1', [companyId, CLOSED_THROUGH]);

  const entriesThrough = async (companyId: string, day: string) =>
    (
      await system.owner.query(
        'SELECT count(*)::int AS n FROM journal_entries WHERE company_id = $1 AND entry_date <= $2',
        [companyId, day],
      )
    ).rows[0].n;

  test('50 postings race the closing: those before it stand, and none comes after it', async () => {
    const company = await system.company();
    const customerId = await company.customer();
    const drafts: string[] = [];
    for (let n = 0; n < POSTINGS / 2; n++) {
      drafts.push(await company.draftInvoice({ customerId, issueDate: n % 2 === 0 ? CLOSED_THROUGH : '2026-02-01' }));
    }
    const paidInvoice = await company.invoice({ customerId, issueDate: '2026-01-02' });

    let answered = 0;
    const counted = async (sending: Promise<Answer>) => {
      const answer = await sending;
      answered += 1;
      return answer;
    };
    const send = (count: number) =>
      drafts
        .splice(0, count / 2)
        .flatMap((draft) => [
          counted(company.api.post(`/api/invoices/${draft}/finalize`, {})),
          counted(company.api.post('/api/payments', { ...paymentBody(paidInvoice, 1), receivedOn: CLOSED_THROUGH })),
        ]);

    const before = send(BEFORE);
    await until('the first answers', async () => answered >= ANSWERED_BEFORE_CLOSING);
    const closer = await openTransaction();
    const closing = close(closer, company.id);
    const during = send(DURING);
    await closing;
    // A statement of its own, while the row is held: it sees all that was posted before, and no one posts now.
    const { rows } = await closer.query(
      'SELECT count(*)::int AS n FROM journal_entries WHERE company_id = $1 AND entry_date <= $2',
      [company.id, CLOSED_THROUGH],
    );
    const after = send(AFTER);
    await untilWaiting(system.owner, 1);
    await closer.query('COMMIT');

    const answers = await Promise.all([...before, ...during, ...after]);
    const posted = answers.filter(({ status }) => status === 200 || status === 201).length;
    const refused = answers.filter(({ json }) => json.code === 'period_closed').length;
    expect(posted + refused).toBe(POSTINGS);
    expect(posted).toBeGreaterThanOrEqual(ANSWERED_BEFORE_CLOSING);
    expect(refused).toBeGreaterThanOrEqual(AFTER);
    expect(await entriesThrough(company.id, CLOSED_THROUGH)).toBe(rows[0].n);
    expect(rows[0].n).toBe(1 + posted); // and the finalized invoice that was there at the start
    const { 'settings-history': closedBySql, ...broken } = await brokenControls(system.owner);
    expect([closedBySql?.length, broken]).toEqual([1, {}]);
  });

  test('a closing that meets a posting waits for it', async () => {
    const company = await system.company();
    await company.invoice(); // so that there is a counter to hold
    const draft = await company.draftInvoice({ issueDate: CLOSED_THROUGH });
    // The number is what a finalizing takes last: here it has posted its entry, and waits.
    const holder = await openTransaction();
    await holder.query('SELECT FROM number_counters WHERE company_id = $1 FOR UPDATE', [company.id]);
    const finalizing = company.api.post(`/api/invoices/${draft}/finalize`, {});
    await untilWaiting(system.owner, 1);

    const closer = await openTransaction();
    await closer.query("SET LOCAL lock_timeout = '200ms'");
    await expect(close(closer, company.id)).rejects.toMatchObject({ code: '55P03' });

    await holder.query('COMMIT');
    expect((await finalizing).status).toBe(200);
  });

  test('a posting that meets the closing waits for it, and is then refused', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice();
    const closer = await openTransaction();
    await close(closer, company.id);
    const paying = company.api.post('/api/payments', { ...paymentBody(invoiceId), receivedOn: CLOSED_THROUGH });
    await untilWaiting(system.owner, 1);
    await closer.query('COMMIT');
    const answer = await paying;
    expect([answer.status, answer.json.code]).toEqual([409, 'period_closed']);
  });

  test('a closing that is taken back lets the posting through', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice();
    const closer = await openTransaction();
    await close(closer, company.id);
    const paying = company.api.post('/api/payments', { ...paymentBody(invoiceId), receivedOn: CLOSED_THROUGH });
    await untilWaiting(system.owner, 1);
    await closer.query('ROLLBACK');
    expect((await paying).status).toBe(201);
  });

  test('one company’s closing is not another’s', async () => {
    const [closed, open] = [await system.company(), await system.company()];
    await closeBooks(closed, '2026-12-31');
    expect((await open.api.post('/api/payments', paymentBody(await open.invoice()))).status).toBe(201);
  });
});
