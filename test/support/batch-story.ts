import type pg from 'pg';
import { expect } from 'vitest';
import { type BatchAnswer, batchClient, ndjson } from './batches.ts';
import type { Company } from './companies.ts';
import { countEffects, paymentBody } from './effects.ts';

/** A file with every kind of row, and what has to be true of it once its batch is completed, whatever has happened meanwhile. */
export type BatchStory = {
  readonly file: string;
  readonly rows: number;
  /** Throws where a row was made twice, was lost or was told wrongly. Returns what the database has beside the expected. */
  expectTold(done: BatchAnswer, url: string): Promise<{ readonly doubled: number; readonly lost: number }>;
};

/** Rows of an invoice: those of one chunk and of the next name different ones. */
const ROWS_OF_INVOICE = 50;
const EACH_REPLAYED = 40;
const MISMATCHED_ROW = 7;
const REFUSED_ROW = 9;
/** An operation that has no form for sets. */
const EACH_ITEM = 30;

/**
 * Payments and a few items: some were sent alone before, one of them with another amount, and one cannot be sent at all. `url`:
 * of the API that sends them alone.
 */
export async function batchStory(owner: pg.Pool, company: Company, rows: number, url: string): Promise<BatchStory> {
  const invoices: string[] = [];
  for (let from = 0; from < rows; from += ROWS_OF_INVOICE) invoices.push(await company.invoice());
  const before = await effectsOf(owner, company);
  const api = company.as('owner', url);
  const lines: object[] = [];
  let replayed = 0;
  let items = 0;
  for (let row = 1; row <= rows; row += 1) {
    const key = `row-${row}`;
    const body = paymentBody(invoices[Math.floor((row - 1) / ROWS_OF_INVOICE)] ?? '', 100 + (row % 7));
    if (row === REFUSED_ROW) lines.push({ key, body: { ...body, amount: 'much' } });
    else if (row % EACH_ITEM === 0) {
      items += 1;
      lines.push({ key, operation: 'createInventoryItem', body: { sku: key, name: 'Item', currency: 'USD' } });
    } else {
      const isReplayed = row % EACH_REPLAYED === 1;
      if (isReplayed) replayed += 1;
      if (isReplayed || row === MISMATCHED_ROW) {
        await api.created('/api/payments', { ...body, amount: body.amount + (isReplayed ? 0 : 1) }, { key });
      }
      lines.push({ key, body });
    }
  }
  const expected = { succeeded: rows - replayed - 2, replayed, mismatched: 1, refused: 1 };
  return {
    file: ndjson(lines),
    rows,
    async expectTold(done, at) {
      const after = await effectsOf(owner, company);
      const made = {
        writes: after.writes - before.writes,
        rows: after.rows - before.rows,
        entries: after.entries - before.entries,
        events: after.events - before.events,
        newAudit: after.newAudit - before.newAudit,
        replayedAudit: after.replayedAudit - before.replayedAudit,
        failedAudit: after.failedAudit - before.failedAudit,
      };
      const writes = rows - 1;
      const payments = writes - items;
      const found = {
        doubled: Math.max(0, made.rows - payments, made.newAudit - writes),
        lost: Math.max(0, payments - made.rows, writes - made.writes),
      };
      expect({ made, counts: done.json.counts, state: done.json.state, ...found }).toEqual({
        made: {
          ...{ writes, rows: payments, entries: payments, events: writes, newAudit: writes },
          ...{ replayedAudit: replayed, failedAudit: 1 },
        },
        counts: { pending: 0, pendingApproval: 0, rejected: 0, failed: 0, cancelled: 0, ...expected },
        state: 'completed',
        doubled: 0,
        lost: 0,
      });
      const results = await batchClient({ url: at }, company).results(done.json.key, 400);
      expect(results.map(({ row }) => row)).toEqual(Array.from({ length: rows }, (_, index) => index + 1));
      const told: Record<string, number> = {};
      for (const { outcome, status } of results) told[`${outcome} ${status}`] = (told[`${outcome} ${status}`] ?? 0) + 1;
      expect(told).toEqual({
        'succeeded 201': expected.succeeded,
        'replayed 201': replayed,
        'mismatched 422': 1,
        'refused 422': 1,
      });
      return found;
    },
  };
}

function effectsOf(owner: pg.Pool, company: Company) {
  return countEffects(owner, { companyId: company.id, table: 'payments' });
}
