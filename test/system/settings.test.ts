import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { Role } from '../../activities/roles.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { untilWaiting } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

const SETTINGS = '/api/company/settings';

function change(company: Company, body: object, { role = 'owner', key }: { role?: Role; key?: string } = {}) {
  return company.as(role).post(SETTINGS, body, { method: 'PATCH', ...(key === undefined ? {} : { key }) });
}

async function version(company: Company): Promise<number> {
  return (await company.api.get(SETTINGS)).json.version;
}

describe('the settings', () => {
  test('are changed by what is given and by nothing else, and stand at their own address', async () => {
    const company = await system.company('Before Ltd');
    const before = (await company.api.get(SETTINGS)).json;
    const changes = {
      name: 'After Ltd',
      timeZone: 'Asia/Tokyo',
      baseCurrency: 'EUR',
      employerTaxRateBasisPoints: 800,
      payRunApprovalRequired: true,
      latestPostingDays: 30,
      taxRounding: 'document',
      webhookUrl: 'https://hooks.example.test:8443/accubooks?c=1',
    };
    const answer = await change(company, { expectedVersion: 1, ...changes });
    expect([answer.status, answer.headers.get('location')]).toEqual([200, SETTINGS]);
    expect(answer.json).toEqual({ ...before, ...changes, version: 2 });
    expect((await company.api.get(SETTINGS)).json).toEqual(answer.json);
    const ended = await change(company, { expectedVersion: 2, webhookUrl: null }, { role: 'admin' });
    expect(ended.json).toEqual({ ...answer.json, webhookUrl: null, version: 3 });
  });

  test('are changed once by 20 who have read the same version', async () => {
    const company = await system.company();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => change(company, { expectedVersion: 1, name: `Name ${index}` })),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ json }) => json.code === 'version_conflict')).toHaveLength(19);
    expect(await version(company)).toBe(2);
  });

  test('are read when those who change them before us are done', async () => {
    const company = await system.company();
    const session = await system.owner.connect();
    await session.query('BEGIN');
    await session.query("UPDATE companies SET name = 'Before us' WHERE id = $1", [company.id]);
    const changing = change(company, { expectedVersion: 1, name: 'After them' });
    await untilWaiting(system.owner, 1);
    await session.query('COMMIT');
    session.release();
    expect((await changing).json).toMatchObject({ code: 'version_conflict', detail: 'The settings are at version 2.' });
  });

  test('are replayed as they were, however they have changed since', async () => {
    const company = await system.company();
    const body = { expectedVersion: 1, name: 'First' };
    const first = await change(company, body, { key: 'first' });
    await change(company, { expectedVersion: 2, name: 'Second' });
    const again = await change(company, body, { key: 'first' });
    expect([again.replayed, again.text]).toEqual([true, first.text]);
    expect(await change(company, { ...body, name: 'Else' }, { key: 'first' })).toMatchObject({
      status: 422,
      json: { code: 'idempotency_key_reused', differences: [{ in: 'body', pointer: '/name' }] },
    });
    const audit = await countEffects(system.owner, { companyId: company.id, table: 'workflow_triggers', key: 'first' });
    expect(audit).toMatchObject({ newAudit: 1, events: 1, entries: 0 });
  });

  test('a change made beside the API is a version too', async () => {
    const company = await system.company();
    await system.owner.query("UPDATE companies SET name = 'By hand' WHERE id = $1", [company.id]);
    expect(await version(company)).toBe(2);
    expect((await change(company, { expectedVersion: 1, name: 'Late' })).json.code).toBe('version_conflict');
  });

  test.each(['manager', 'accountant', 'auditor', 'employee'] as const)('%s changes none', async (role) => {
    const company = await system.company();
    expect(await change(company, { expectedVersion: 1, name: 'No' }, { role })).toMatchObject({
      status: 403,
      json: { code: 'forbidden' },
    });
  });

  test('the days after today that can be posted on are 366 at first, and 0 to 3,660', async () => {
    const company = await system.company();
    expect((await company.api.get(SETTINGS)).json.latestPostingDays).toBe(366);
    for (const latestPostingDays of [-1, 1.5, 3_661, null, '30']) {
      expect(await change(company, { expectedVersion: 1, latestPostingDays })).toMatchObject({
        status: 422,
        json: { code: 'validation_failed', errors: [{ pointer: '/latestPostingDays' }] },
      });
    }
    for (const [index, latestPostingDays] of [0, 3_660].entries()) {
      const changed = await change(company, { expectedVersion: index + 1, latestPostingDays });
      expect([changed.status, changed.json.latestPostingDays]).toEqual([200, latestPostingDays]);
    }
  });

  test('a time zone is one that the database knows', async () => {
    const company = await system.company();
    for (const timeZone of ['Europe/Atlantis', 'europe/london', 'FOO+5', 'EST5EDT4,M3']) {
      const refused = await change(company, { expectedVersion: 1, timeZone });
      expect([timeZone, refused.status]).toEqual([timeZone, 422]);
    }
    expect((await change(company, { expectedVersion: 1, timeZone: 'UTC' })).status).toBe(200);
  });
});

describe('the closing date', () => {
  const close = (company: Company, expectedVersion: number, more: object, role: Role = 'owner') =>
    change(company, { expectedVersion, ...more }, { role });

  test('moves forward by an admin; back only by an owner, with a reason that stays in the audit log', async () => {
    const company = await system.company();
    expect((await close(company, 1, { booksClosedThrough: '2026-03-31' }, 'admin')).status).toBe(200);
    const back = { booksClosedThrough: '2026-02-28', reopenReason: 'A bill of March was late' };
    expect(await close(company, 2, back, 'admin')).toMatchObject({ status: 403, json: { code: 'reopen_not_allowed' } });
    expect(await close(company, 2, { booksClosedThrough: '2026-02-28' })).toMatchObject({
      status: 422,
      json: { code: 'reopen_reason_required', errors: [{ pointer: '/reopenReason' }] },
    });
    expect((await close(company, 2, back)).json).toMatchObject({ version: 3, booksClosedThrough: '2026-02-28' });
    const { rows } = await system.owner.query(
      `SELECT metadata FROM idempotent_write_audit_log
       WHERE company_id = $1 AND status = 'new' ORDER BY timestamp DESC LIMIT 1`,
      [company.id],
    );
    expect(rows[0].metadata).toEqual({
      changed: ['booksClosedThrough'],
      reopenReason: 'A bill of March was late',
      closedThroughBefore: '2026-03-31',
    });
    expect(await close(company, 3, { booksClosedThrough: null }, 'admin')).toMatchObject({ status: 403 });
    expect((await close(company, 3, { booksClosedThrough: null, reopenReason: 'All' })).status).toBe(200);
  });

  test('races 30 payments: none is dated in what was closed after the close', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice();
    const [closed, ...paid] = await Promise.all([
      close(company, 1, { booksClosedThrough: '2026-02-28' }),
      ...Array.from({ length: 30 }, () => company.api.post('/api/payments', paymentBody(invoiceId))),
    ]);
    expect(closed.status).toBe(200);
    const { rows } = await system.owner.query(
      `SELECT count(*)::int AS late FROM idempotent_writes w, idempotent_writes s
       WHERE w.company_id = $1 AND s.company_id = $1 AND w.operation = 'createPayment' AND w.outcome = 'succeeded'
         AND s.operation = 'updateCompanySettings' AND w.claimed_at > s.completed_at`,
      [company.id],
    );
    expect(rows[0].late).toBe(0);
    for (const { status, json } of paid)
      expect([201, 409]).toContain(status === 409 ? (json.code === 'period_closed' ? 409 : 0) : status);
    expect((await company.api.post('/api/payments', paymentBody(invoiceId))).json.code).toBe('period_closed');
  });
});

describe('the base currency', () => {
  test('is the default of new customers, and stays once anything is invoiced', async () => {
    const company = await system.company();
    expect((await change(company, { expectedVersion: 1, baseCurrency: 'EUR' })).status).toBe(200);
    expect((await company.api.created('/api/customers', { name: 'Euro' })).currency).toBe('EUR');
    await company.draftInvoice();
    expect(await change(company, { expectedVersion: 2, baseCurrency: 'USD' })).toMatchObject({
      status: 409,
      json: { code: 'base_currency_in_use', errors: [{ pointer: '/baseCurrency' }] },
    });
    // The same again is no change.
    expect((await change(company, { expectedVersion: 2, baseCurrency: 'EUR' })).status).toBe(200);
  });
});

describe('the webhook', () => {
  test.each([
    'http://hooks.example.test/',
    'https://hooks.example.test:444/',
    'https://user:secret@hooks.example.test/',
    'https://hooks.example.test/#part',
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://[::1]/',
    'https://[::ffff:10.0.0.1]/',
    'https://169.254.169.254/latest/meta-data/',
  ])('is not set to %s', async (webhookUrl) => {
    const company = await system.company();
    expect(await change(company, { expectedVersion: 1, webhookUrl })).toMatchObject({
      status: 422,
      json: { code: 'webhook_url_not_allowed', errors: [{ pointer: '/webhookUrl' }] },
    });
  });

  test('has a secret that is replaced by the next one only', async () => {
    const company = await system.company();
    expect(await change(company, { expectedVersion: 1, webhookSecretVersion: 3 })).toMatchObject({
      status: 422,
      json: { code: 'webhook_secret_version_not_next' },
    });
    const rotated = await change(company, { expectedVersion: 1, webhookSecretVersion: 2 });
    expect(rotated.json).toMatchObject({ webhookSecretVersion: 2, version: 2 });
    expect(Date.parse(rotated.json.webhookSecretRotatedAt)).toBeGreaterThan(Date.now() - 60_000);
    expect((await change(company, { expectedVersion: 2, webhookSecretVersion: 1 })).status).toBe(422);
    const same = await change(company, { expectedVersion: 2, webhookSecretVersion: 2 });
    expect(same.json.webhookSecretRotatedAt).toBe(rotated.json.webhookSecretRotatedAt);
  });
});

test('all of this leaves the controls holding, but for the versions that SQL has made', async () => {
  const { 'settings-history': bySql, ...broken } = await brokenControls(system.owner);
  expect(broken).toEqual({});
  expect(bySql?.every(({ members }) => members === 'version 2')).toBe(true);
});
