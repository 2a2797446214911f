import { get, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { postManually } from '../support/bank.ts';
import { createApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { exportedCsv, GENERAL_LEDGER, linesOfCsv, linesOfXml } from '../support/export-lines.ts';
import { fillBooks } from '../support/filled-books.ts';
import { until } from '../support/held-invoice.ts';
import { executedPayRun } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

describe('an export of the general ledger', () => {
  test('has each line with its entry, who posted it by which request, and what takes what back', async () => {
    const company = await system.company();
    const { api, users } = company;
    const headers = { 'x-request-id': 'request-of-the-test' };
    const lines = [
      { accountCode: '1000', amount: 500, memo: '=SUM(A1)' },
      { accountCode: '4000', amount: -500 },
    ];
    const body = { date: '2026-01-31', description: 'Sold, "cash"', currency: 'KWD', lines };
    const sold = await api.created('/api/ledger/entries', body, { headers });
    const undone = await company.as('accountant').created(`/api/ledger/entries/${sold.id}/reverse`, {
      ...{ reason: 'Not <paid> & gone', date: '2026-02-01' },
    });
    await postManually(
      api,
      [
        ['1000', 1],
        ['3000', -1],
      ],
      { date: '2026-01-01' },
    );
    const first = {
      ...{ date: '2026-01-31', entryId: sold.id, lineNumber: '1', lineId: sold.lines[0].id, accountCode: '1000' },
      ...{ currency: 'KWD', amount: '500', memo: "'=SUM(A1)", description: 'Sold, "cash"' },
      ...{
        operation: 'createJournalEntry',
        kind: 'normal',
        writeId: sold.source.writeId,
        requestId: 'request-of-the-test',
      },
      ...{
        postedBy: users.owner.id,
        approvedBy: '',
        postedAt: sold.postedAt,
        reverses: '',
        reversedBy: undone.id,
        entryNumber: '',
      },
    };
    const told = await exportedCsv(api);
    expect(told.map(({ date, accountCode, amount }) => [date, accountCode, amount])).toEqual([
      ['2026-01-01', '1000', '1'],
      ['2026-01-01', '3000', '-1'],
      ['2026-01-31', '1000', '500'],
      ['2026-01-31', '4000', '-500'],
      ['2026-02-01', '1000', '-500'],
      ['2026-02-01', '4000', '500'],
    ]);
    expect(told[2]).toEqual(first);
    expect(told[4]).toMatchObject({ reverses: sold.id, reversedBy: '', postedBy: users.accountant.id });
    expect(await exportedCsv(api, '?from=2026-01-31&to=2026-01-31')).toEqual(told.slice(2, 4));
    const xml = await api.get(`${GENERAL_LEDGER}?from=2026-02-01&to=2026-03-31`, {
      accept: 'application/xml;q=0.9, text/csv;q=0.1',
    });
    expect(xml.headers.get('content-type')).toBe('application/xml; charset=utf-8');
    expect(linesOfXml(xml.text)).toMatchObject([{ description: 'Not <paid> & gone', reverses: sold.id }, {}]);
    const period = await api.get(`${GENERAL_LEDGER}?from=2026-01-31&to=2026-02-01`);
    expect([xml, period].map(({ headers }) => headers.get('content-disposition'))).toEqual([
      'attachment; filename="general-ledger-2026-02-01-2026-03-31.xml"',
      'attachment; filename="general-ledger-2026-01-31-2026-02-01.csv"',
    ]);
    // As of other routes, what nobody asked for is CSV.
    const other = await api.get(`${GENERAL_LEDGER}?to=2026-12-31`, { accept: 'application/json' });
    expect(other.headers.get('content-disposition')).toContain('"general-ledger-until-2026-12-31.csv"');
    expect([other.headers.get('vary'), linesOfCsv(other.text)]).toEqual(['Accept', told]);
  });

  test('of a company without entries has its header, or its root, and no line', async () => {
    const { api } = await system.company();
    expect((await api.get(GENERAL_LEDGER)).text.split('\r\n')).toEqual([expect.stringMatching(/^date,entryId,/), '']);
    expect(linesOfXml((await api.get(GENERAL_LEDGER, { accept: 'application/xml' })).text)).toEqual([]);
  });

  test('is answered to HEAD without being read', async () => {
    const { api } = await system.company();
    const { status, headers, text } = await api.send('HEAD', GENERAL_LEDGER);
    expect([status, headers.get('content-type'), text]).toEqual([200, 'text/csv; charset=utf-8; header=present', '']);
    expect((await api.post(GENERAL_LEDGER, {})).status).toBe(405);
  });

  test('has no payroll for a manager, and whoever reads payroll in it is told of in the security log', async () => {
    const company = await system.company();
    await executedPayRun(company);
    await postManually(company.api, [
      ['1000', 1],
      ['3000', -1],
    ]);
    const readers = async () => {
      const { rows } = await system.owner.query(
        `SELECT user_id, details FROM security_log WHERE company_id = $1 AND event = 'payroll_read' AND reason = 'general_ledger'`,
        [company.id],
      );
      return rows;
    };
    const operations = async (as: 'owner' | 'manager') => [
      ...new Set((await exportedCsv(company.as(as), '?to=2026-12-31')).map(({ operation }) => operation)),
    ];
    expect(await operations('manager')).toEqual(['createJournalEntry']);
    expect(await operations('owner')).toEqual(['executePayroll', 'createJournalEntry']);
    await until('the row of the security log', async () => (await readers()).length > 0);
    const details = { from: null, to: '2026-12-31' };
    expect(await readers()).toEqual([{ user_id: company.users.owner.id, details }]);
    expect((await company.as('inventory_manager').get(GENERAL_LEDGER)).json.code).toBe('forbidden');
  });
});

describe('an export of many lines', () => {
  /** Some 60,000 lines, of 20 MB: several times what the buffers of a connection hold. */
  const DOCUMENTS = 3_500;
  let company: Reader;
  beforeAll(async () => {
    // It has one member, as what fills its books expects.
    const { rows } = await system.owner.query("SELECT * FROM create_company('Large Ltd', 'large@example.test', 'USD')");
    const { company_id: id, user_id: userId } = rows[0];
    const token = await signToken({ userId, companyId: id });
    company = { id, users: { owner: { id: userId, token } }, api: createApiClient(system.url, token) };
    await fillBooks(new URL(system.environment['DATABASE_URL'] ?? '').pathname.slice(1), company.id, DOCUMENTS);
    await system.owner.query('ANALYZE');
  });

  test('is read as its client takes it, is that of its beginning, and holds no transaction meanwhile', async () => {
    const reversed = await postManually(
      company.api,
      [
        ['1000', 1],
        ['3000', -1],
      ],
      { date: '2026-03-01' },
    );
    await restoredFromElsewhere();
    const session = await system.owner.connect();
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    await insertEntry(session, '2026-04-01');
    const before = await countLines();
    expect((await company.api.send('HEAD', `${GENERAL_LEDGER}?to=2026-12-31`)).status).toBe(200);
    expect(await linesRead()).toBeLessThan(before / 2);

    const answer = await openExport(company, '?to=2026-12-31');
    const read = await linesRead();
    expect(read).toBeLessThan(before / 2);
    const { rows: held } = await system.owner.query(
      `SELECT state, query FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = 'accubooks-api' AND xact_start IS NOT NULL`,
    );
    expect(held).toEqual([]);
    // Nothing of this was there: what commits now, what is posted now, and that one is reversed.
    await session.query('COMMIT');
    session.release();
    await postManually(
      company.api,
      [
        ['1000', 2],
        ['3000', -2],
      ],
      { date: '2026-05-01' },
    );
    await company.api.created(`/api/ledger/entries/${reversed.id}/reverse`, { reason: 'Wrong', date: '2026-06-01' });
    for (let id = 0; id < 300; id += 1) await system.owner.query('SELECT pg_current_xact_id()');

    const lines = linesOfCsv(await textOf(answer));
    expect(lines).toHaveLength(before);
    expect(new Set(lines.map(({ lineId }) => lineId)).size).toBe(before);
    const days = lines.map(({ date = '' }) => date);
    expect(days).toEqual(days.toSorted());
    expect(lines.filter(({ date = '' }) => date >= '2026-03-01')).toMatchObject([
      { entryId: reversed.id, reversedBy: '' },
      { entryId: reversed.id, reversedBy: '' },
    ]);
    expect(await linesRead()).toBeGreaterThanOrEqual(before);
    expect(await countLines()).toBe(before + 6);
  });

  test('whose reader is one no longer, ends before its end', async () => {
    const answer = await openExport(company, '?to=2026-12-31', { accept: 'application/xml' });
    await grant('{employee}');
    const { text, error } = await cutText(answer);
    await grant('{owner}');
    expect(error?.code).toBe('ECONNRESET');
    expect(text).toContain('<line>');
    expect(text).not.toContain('</generalLedger>');
  });

  /** Past the trigger that keeps an owner. */
  async function grant(roles: string): Promise<void> {
    const session = await system.owner.connect();
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    await session.query('UPDATE memberships SET roles = $2 WHERE company_id = $1', [company.id, roles]);
    await session.query('COMMIT');
    session.release();
  }

  test('is one of two at most of a company', async () => {
    const open = [await openExport(company), await openExport(company)];
    const third = await company.api.get(GENERAL_LEDGER);
    expect([third.status, third.json.code]).toEqual([429, 'rate_limited']);
    const other = await system.company();
    expect((await other.api.get(GENERAL_LEDGER)).status).toBe(200);
    for (const answer of open) answer.destroy();
    await until('the third', async () => (await company.api.send('HEAD', GENERAL_LEDGER)).status === 200);
  });

  test('keeps no process that is to end', async () => {
    const { url, close } = await system.another();
    const answer = await openExport(company, '', {}, url);
    await close();
    expect((await cutText(answer)).error?.code).toBe('ECONNRESET');
  });

  async function countLines(): Promise<number> {
    const { rows } = await system.owner.query('SELECT count(*)::int AS n FROM journal_lines WHERE company_id = $1', [
      company.id,
    ]);
    return rows[0].n;
  }

  /** How many lines the application's sessions have read since the last call, once they have told. */
  let readBefore = 0;
  async function linesRead(): Promise<number> {
    const now = async () => {
      const { rows } = await system.owner.query(
        `SELECT pg_stat_clear_snapshot(), (SELECT idx_tup_fetch::int FROM pg_stat_user_tables WHERE relname = 'journal_lines') AS n`,
      );
      return rows[0].n as number;
    };
    let [last, same] = [-1, 0];
    // Sessions tell what they have done within a second or so of its end.
    while (same < 4) {
      await sleep(1_000);
      const n = await now();
      same = n === last ? same + 1 : 0;
      last = n;
    }
    const read = last - readBefore;
    readBefore = last;
    return read;
  }

  /** An entry of two lines, in the session's transaction. */
  async function insertEntry(session: pg.PoolClient, day: string): Promise<void> {
    await session.query(
      `WITH w AS (
         INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
           schema_version, request, outcome, status_code, response_body, location, resource_type, resource_id, user_id, request_id,
           requested_at, claimed_at, completed_at)
         VALUES ($1, 'in-progress', gen_random_uuid(), gen_random_uuid(), 'createJournalEntry', 'financial', repeat('a', 64), 1,
           '{}', 'succeeded', 201, '{}', '/x', 'journalEntry', 'x', $2, 'r', now(), now(), now()) RETURNING write_id
       ), e AS (
         INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, created_xid)
         SELECT $1, gen_random_uuid(), write_id, 'createJournalEntry', $3, 'Late', pg_current_xact_id() FROM w RETURNING id
       )
       INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency)
       SELECT $1, gen_random_uuid(), e.id, n, a.id, 3 - 2 * n, 'USD' FROM e
       CROSS JOIN generate_series(1, 2) AS n JOIN accounts a ON a.company_id = $1 AND a.code = '1000'`,
      [company.id, company.users.owner.id, day],
    );
  }

  /**
   * As if pg_restore had brought the last entries from a cluster whose transactions had larger numbers: such as this cluster
   * will give in a while, and such as it will give while the export goes on. In a transaction of its own, which has ended.
   */
  async function restoredFromElsewhere(): Promise<void> {
    const restore = await system.owner.connect();
    await restore.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    await restore.query(
      `UPDATE journal_entries SET created_xid = (pg_current_xact_id()::text::bigint + ahead)::text::xid8
       FROM (VALUES ('2025-08-22'::date, 1000000000), ('2025-08-21', 200)) AS v (day, ahead)
       WHERE company_id = $1 AND entry_date = day`,
      [company.id],
    );
    await restore.query('COMMIT');
    restore.release();
  }
});

/** A company, as far as its owner reads it. */
type Reader = Pick<Company, 'id' | 'api'> & { readonly users: Pick<Company['users'], 'owner'> };

/** The answer of which nothing is read yet. */
async function openExport(company: Reader, query = '', headers = {}, url = system.url): Promise<IncomingMessage> {
  const authorization = `Bearer ${company.users.owner.token}`;
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = get(
      `${url}${GENERAL_LEDGER}${query}`,
      { agent: false, headers: { authorization, ...headers } },
      resolve,
    );
    sent.on('error', reject);
  });
  expect(answer.statusCode).toBe(200);
  return answer;
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const { text, error } = await cutText(answer);
  if (error !== undefined) throw error;
  return text;
}

/** What came, and the error with which it ended before its end. */
async function cutText(answer: IncomingMessage): Promise<{ text: string; error: NodeJS.ErrnoException | undefined }> {
  const pieces: Buffer[] = [];
  try {
    for await (const piece of answer) pieces.push(piece);
    return { text: Buffer.concat(pieces).toString(), error: undefined };
  } catch (error) {
    return { text: Buffer.concat(pieces).toString(), error: error as NodeJS.ErrnoException };
  }
}
