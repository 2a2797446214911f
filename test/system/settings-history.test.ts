import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { Role } from '../../activities/roles.ts';
import { READ_SCHEMAS } from '../../api/openapi/read-schemas.ts';
import { type Actors, actors } from '../support/actors.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';
import { walk } from '../support/walk.ts';

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

const SETTINGS = '/api/company/settings';
const HISTORY = '/api/company/settings/history';

type Change = { readonly role?: Role; readonly key?: string; readonly requestId?: string };
async function change(company: Company, body: object, { role = 'owner', key = 'k', requestId = 'r' }: Change = {}) {
  const { version } = (await company.api.get(SETTINGS)).json;
  const send = { method: 'PATCH', key, headers: { 'x-request-id': requestId } } as const;
  return company.as(role).created(SETTINGS, { expectedVersion: version, ...body }, send);
}

describe('the history of the settings', () => {
  test('tells who has changed what, from what to what, newest first', async () => {
    const company = await system.company('Before Ltd');
    const first = (await company.api.get(SETTINGS)).json;
    const closing = { booksClosedThrough: '2026-03-31', name: 'After Ltd', timeZone: 'UTC' };
    const second = await change(company, closing, { role: 'admin', key: 'close', requestId: 'closing' });
    const opening = { booksClosedThrough: null, reopenReason: 'A late bill' };
    const third = await change(company, opening, { key: 'open', requestId: 'opening' });
    const writeOf = async (key: string) => (await company.api.get(`/api/writes/${key}`)).json;

    const { items, nextCursor } = (await company.api.get(HISTORY)).json;
    expect(nextCursor).toBeNull();
    const { version: _third, ...thirdSettings } = third;
    const { version: _second, ...secondSettings } = second;
    const { version: _first, ...firstSettings } = first;
    expect(items).toEqual([
      {
        version: 3,
        changedAt: expect.any(String),
        changedBy: company.users.owner.id,
        requestId: 'opening',
        writeId: (await writeOf('open')).writeId,
        reopenReason: 'A late bill',
        changes: [{ setting: 'booksClosedThrough', from: '2026-03-31', to: null }],
        settings: thirdSettings,
      },
      {
        version: 2,
        changedAt: expect.any(String),
        changedBy: company.users.admin.id,
        requestId: 'closing',
        writeId: (await writeOf('close')).writeId,
        reopenReason: null,
        changes: [
          { setting: 'name', from: 'Before Ltd', to: 'After Ltd' },
          { setting: 'booksClosedThrough', from: null, to: '2026-03-31' },
        ],
        settings: secondSettings,
      },
      {
        version: 1,
        changedAt: expect.any(String),
        changedBy: null,
        requestId: null,
        writeId: null,
        reopenReason: null,
        changes: [],
        settings: firstSettings,
      },
    ]);
    for (const item of items) expect(READ_SCHEMAS['settings_version']?.strict().safeParse(item).error).toBeUndefined();
    expect(await walk(company.api, HISTORY, { limit: 1 })).toEqual(items);
  });

  test('has each setting that can be asked for, and no secret', async () => {
    const company = await system.company();
    const changes = {
      name: 'All Ltd',
      timeZone: 'Asia/Tokyo',
      baseCurrency: 'EUR',
      latestPostingDays: 30,
      employerTaxRateBasisPoints: 800,
      payRunApprovalRequired: true,
      reconcileTolerance: 500,
      webhookUrl: 'https://hooks.example.test/',
      webhookSecretVersion: 2,
    };
    const before = (await company.api.get(SETTINGS)).json;
    await change(company, changes);
    const answer = await company.api.get(HISTORY);
    expect(answer.json.items[0].changes).toEqual(
      Object.entries(changes).map(([setting, to]) => ({ setting, from: before[setting], to })),
    );
    const { secret } = (await company.api.get('/api/company/webhook-secret')).json;
    expect(secret.length).toBeGreaterThan(20);
    expect(answer.text).not.toContain(secret);
  });

  test('has what was changed by SQL, with nobody’s name', async () => {
    const company = await system.company('Before Ltd');
    await system.owner.query("UPDATE companies SET name = 'By hand' WHERE id = $1", [company.id]);
    await change(company, { name: 'By a write' });
    const { items } = (await company.api.get(`${HISTORY}?limit=2`)).json;
    expect(items).toMatchObject([
      { version: 3, changedBy: company.users.owner.id, changes: [{ from: 'By hand', to: 'By a write' }] },
      { version: 2, changedBy: null, writeId: null, changes: [{ setting: 'name', from: 'Before Ltd', to: 'By hand' }] },
    ]);
    const { rows } = await system.owner.query(
      'SELECT version, login FROM settings_versions WHERE company_id = $1 AND version > 1 ORDER BY version',
      [company.id],
    );
    const { rows: session } = await system.owner.query('SELECT session_user AS login');
    expect(rows).toEqual([
      { version: 2, login: session[0].login },
      { version: 3, login: null },
    ]);
  });

  test('has no version of a change that was refused', async () => {
    const company = await system.company();
    const stale = await company.api.post(SETTINGS, { expectedVersion: 7, name: 'Late' }, { method: 'PATCH' });
    expect(stale.json.code).toBe('version_conflict');
    expect((await company.api.get(HISTORY)).json.items).toHaveLength(1);
  });

  test('is of one company', async () => {
    const [company, other] = [await system.company(), await system.company()];
    await change(company, { name: 'Elsewhere' });
    expect((await other.api.get(HISTORY)).json.items).toMatchObject([{ version: 1, changes: [] }]);
  });

  test.each(['application', 'owner'] as const)('is not changed by the %s', async (actor) => {
    const company = await system.company();
    const code = actor === 'owner' ? '23001' : '42501';
    for (const statement of [
      "UPDATE settings_versions SET settings = '{}' WHERE company_id = $1",
      'DELETE FROM settings_versions WHERE company_id = $1',
    ]) {
      const trying = sql.as(actor, company.id, (client) => client.query(statement, [company.id]));
      await expect(trying).rejects.toMatchObject({ code });
    }
    const adding = sql.as('application', company.id, (client) =>
      client.query("INSERT INTO settings_versions (company_id, version, settings) VALUES ($1, 9, '{}')", [company.id]),
    );
    await expect(adding).rejects.toMatchObject({ code: '42501' });
  });
});

test('all of this leaves the controls holding, but for the versions that SQL has made', async () => {
  const { 'settings-history': bySql, ...broken } = await brokenControls(system.owner);
  expect(broken).toEqual({});
  expect(bySql?.every(({ members }) => members === 'version 2')).toBe(true);
});
