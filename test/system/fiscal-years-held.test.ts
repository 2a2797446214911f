import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Actor, type Actors, actors, addLineByHand, claimByHand } from '../support/actors.ts';
import { addAccount } from '../support/books.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import {
  brokenOf,
  close,
  companyOfTwoYears,
  patchSettings,
  post,
  reopen,
  told,
  yearOf,
} from '../support/fiscal-years.ts';
import { untilWaiting } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

describe('at once', () => {
  test('of two that close a year one does, and of two that reopen it one does', async () => {
    const { api } = await companyOfTwoYears(system);
    for (const [what, lost] of [
      [close, 'fiscal_year_closed'],
      [reopen, 'fiscal_year_out_of_order'],
    ] as const) {
      const answers = await Promise.all(Array.from({ length: 6 }, () => what(api, 2024)));
      const refused = answers.filter(({ status }) => status >= 300);
      expect(refused).toHaveLength(5);
      for (const answer of refused) expect(told(answer)).toEqual([409, lost]);
    }
  });

  test('an entry that was posted first is moved, and a closing waits for it', async () => {
    const { api, id, users } = await companyOfTwoYears(system);
    let closing: Promise<Answer> | undefined;
    await sql.as('application', id, async (client) => {
      const writeId = await claimByHand(client, id, users.owner.id);
      await client.query(`SELECT post_entry($1, $2, $2, 'byHand', '2024-07-07', 'by hand', $3)`, [
        id,
        writeId,
        JSON.stringify([
          { id: writeId, role: 'sales', amount: -1, currency: 'USD' },
          { id, role: 'bank', amount: 1, currency: 'USD' },
        ]),
      ]);
      closing = close(api, 2024);
      await untilWaiting(system.owner, 1);
      await client.query(
        `UPDATE idempotent_writes SET outcome = 'rejected', status_code = 409, response_body = '', completed_at = now()
         WHERE company_id = $1 AND idempotency_key = $2`,
        [id, writeId],
      );
    });
    expect((await closing)?.json.result).toMatchObject([{ amount: -30 }, { amount: 451 }]);
  });

  test('with postings and changes of the settings, nothing is left over', async () => {
    const company = await companyOfTwoYears(system);
    const { api } = company;
    const answers = await Promise.all([
      ...Array.from({ length: 12 }, (_, index) => post(api, '2024-08-08', { 6900: index + 1, 1000: -index - 1 })),
      close(api, 2024),
      patchSettings(api, { expectedVersion: 1, booksClosedThrough: '2024-05-31' }),
      ...Array.from({ length: 12 }, () => post(api, '2024-08-08', { 4000: -1, 1000: 1 })),
    ]);
    expect(answers.map(({ status }) => status).filter((status) => ![200, 201, 409].includes(status))).toEqual([]);
    expect(await yearOf(api, 2024)).toMatchObject({ state: 'closed' });
    const { items } = (await api.get('/api/ledger/trial-balance?asOf=2024-12-31')).json;
    const left = items.filter(
      ({ accountCode, debit, credit }: { accountCode: string; debit: number; credit: number }) => {
        return /^[456]/.test(accountCode) && (debit !== 0 || credit !== 0);
      },
    );
    expect(left).toEqual([]);
    expect(await brokenOf(system, company)).toEqual([]);
  });
});

describe('the database refuses', () => {
  let company: Company;
  beforeAll(async () => {
    company = await companyOfTwoYears(system);
    await addAccount(company, { code: '6200', type: 'expense' });
    await close(company.api, 2024);
  });

  const closingRow = `INSERT INTO fiscal_year_closings (company_id, id, year, starts_on, ends_on) VALUES ($1, $2, `;
  const entryOf = (operation: string, date = '2024-12-31') =>
    `INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description)
     VALUES ($1, $2, $2, '${operation}', '${date}', 'by hand')`;

  test.each([
    ['a closing entry of another write', 'closeFiscalYear', entryOf('closeFiscalYear'), 'closing_entry_of_a_year'],
    ['a mirror of another write', 'reopenFiscalYear', entryOf('reopenFiscalYear'), 'closing_entry_of_a_year'],
    ['a closing entry that names another operation', 'byHand', entryOf('closeFiscalYear'), 'entry_names_its_operation'],
    ['another entry in a closed year', 'byHand', entryOf('byHand'), 'period_closed'],
    ['a second closing', 'closeFiscalYear', `${closingRow} 2024, '2024-01-01', '2024-12-31')`, 'fiscal_year_closed'],
    ['a gap', 'closeFiscalYear', `${closingRow} 2025, '2025-01-02', '2025-12-31')`, 'fiscal_year_out_of_order'],
    [
      'a year that is not over',
      'closeFiscalYear',
      `${closingRow} 2025, '2025-01-01', '2999-12-31')`,
      'fiscal_year_not_over',
    ],
    ['open books', 'closeFiscalYear', `${closingRow} 2025, '2025-01-01', '2025-12-31')`, 'fiscal_year_closes_books'],
  ] as const)('%s', async (_what, operation, statement, constraint) => {
    await expect(byHand('application', operation, statement)).rejects.toMatchObject({ constraint });
  });

  test.each([
    ['application', 'UPDATE fiscal_year_closings SET year = 2023', '42501'],
    ['owner', 'UPDATE fiscal_year_closings SET year = 2023', '23001'],
    ['owner', 'DELETE FROM fiscal_year_closings', '23001'],
    ['owner', 'TRUNCATE fiscal_year_closings', '23001'],
    ['owner', "UPDATE companies SET books_closed_through = '2024-12-30' WHERE id = current_company()", '23514'],
    ['application', 'UPDATE companies SET books_closed_through = NULL', '23514'],
    ['application', "UPDATE companies SET fiscal_year_end = '02-30'", '23514'],
  ] as const)('as %s, %s', async (actor, statement, code) => {
    await expect(sql.as(actor, company.id, (client) => client.query(statement))).rejects.toMatchObject({ code });
  });

  test('a closing entry that moves anything but income and expenses', async () => {
    const moving = sql.as('application', company.id, async (client) => {
      const writeId = await claimByHand(client, company.id, company.users.owner.id, 'closeFiscalYear');
      await client.query("UPDATE companies SET books_closed_through = '2025-12-31'");
      await client.query(`${closingRow} 2025, '2025-01-01', '2025-12-31')`, [company.id, writeId]);
      await client.query('SELECT post_entry($1, $2, $2, $3, $4, $5, $6)', [
        ...[company.id, writeId, 'closeFiscalYear', '2025-12-31', 'by hand'],
        JSON.stringify([
          { id: writeId, role: 'bank', amount: -1, currency: 'USD' },
          { id: company.id, role: 'retained_earnings', amount: 1, currency: 'USD' },
        ]),
      ]);
      await client.query('SET CONSTRAINTS require_closing_lines IMMEDIATE');
    });
    await expect(moving).rejects.toMatchObject({ constraint: 'closing_entry_lines' });
  });

  test('a closing that leaves income or expenses, which those of 2025 are', async () => {
    const leaving = sql.as('application', company.id, async (client) => {
      const writeId = await claimByHand(client, company.id, company.users.owner.id, 'closeFiscalYear');
      await client.query("UPDATE companies SET books_closed_through = '2025-12-31'");
      await client.query(`${closingRow} 2025, '2025-01-01', '2025-12-31')`, [company.id, writeId]);
      await client.query('SET CONSTRAINTS require_nothing_left IMMEDIATE');
    });
    await expect(leaving).rejects.toMatchObject({ constraint: 'fiscal_year_leaves_nothing' });
  });

  test.each([
    ['without the mirror of its entry', 0, 'reopened_year_has_mirror'],
    ['by an entry that takes back less', 1, 'closing_entry_mirror'],
  ] as const)('a year that is reopened %s', async (_how, takenBack, constraint) => {
    const reopening = sql.as('application', company.id, async (client) => {
      const writeId = await claimByHand(client, company.id, company.users.owner.id, 'reopenFiscalYear');
      await client.query('UPDATE fiscal_year_closings SET reopened_by = $1', [writeId]);
      if (takenBack !== 0) {
        await client.query(
          `INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, reverses)
           SELECT e.company_id, $1, $1, 'reopenFiscalYear', e.entry_date, 'by hand', e.id
           FROM journal_entries e WHERE e.operation = 'closeFiscalYear'`,
          [writeId],
        );
        const line = { lineNumber: 1, currency: 'USD' };
        await addLineByHand(client, company.id, writeId, { ...line, code: '4000', amountMinor: -takenBack });
        await addLineByHand(client, company.id, writeId, {
          ...line,
          lineNumber: 2,
          code: '3100',
          amountMinor: takenBack,
        });
      }
      await client.query('SET CONSTRAINTS require_mirror_of_closing, require_closing_lines IMMEDIATE');
    });
    await expect(reopening).rejects.toMatchObject({ constraint });
  });

  async function byHand(actor: Actor, operation: string, statement: string): Promise<unknown> {
    return sql.as(actor, company.id, async (client) => {
      const writeId = await claimByHand(client, company.id, company.users.owner.id, operation);
      return client.query(statement, [company.id, writeId]);
    });
  }
});
