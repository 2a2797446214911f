import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import { ACCESS_COLUMNS, type AccessRow, toAccess } from '../../activities/resources/access.ts';
import { readPolicies, toPolicies } from '../../activities/resources/approval-policies.ts';
import { SETTINGS_COLUMNS, type SettingsRow, toSettings } from '../../activities/resources/settings.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

export const readMe = defineRead({
  path: '/api/me',
  summary: 'Read the caller’s user, company and roles',
  group: 'self',
  answers: { kind: 'report', resource: 'me' },
  params: z.strictObject({}),
  query: z.strictObject({}),
  async read(tx, _input, { companyId, userId, roles }) {
    const [found] = await tx.query<{ email: string; name: string; time_zone: string; base_currency: string }>(
      `SELECT u.email, c.name, c.time_zone, c.base_currency FROM users u, companies c
       WHERE u.id = $1 AND c.id = current_company()`,
      [userId],
    );
    if (found === undefined) throw new Error('Bug! A member without a user or a company');
    const { email, name, time_zone: timeZone, base_currency: baseCurrency } = found;
    return { userId, email, companyId, roles, company: { id: companyId, name, timeZone, baseCurrency } };
  },
});

const MEMBERS: List = {
  columns: ACCESS_COLUMNS,
  from: 'FROM memberships m JOIN users u ON u.id = m.user_id',
  where: 'm.company_id = current_company()',
  order: [
    { sql: 'm.created_at', type: 'timestamptz' },
    { sql: 'm.user_id', type: 'uuid' },
  ],
};

export const listUsers = defineRead({
  path: '/api/users',
  summary: 'List the members of the company and their roles',
  group: 'company',
  answers: { kind: 'list', resource: 'access' },
  shows: 'personal data',
  params: z.strictObject({}),
  query: z.strictObject(pageQuery),
  async read(tx, { query: { limit, cursor } }, { companyId, cursors }) {
    const page = { path: this.path, companyId, cursors, filters: {}, limit, cursor };
    const { rows, nextCursor } = await readPage<AccessRow>(tx, MEMBERS, [], page);
    return { items: rows.map(toAccess), nextCursor };
  },
});

export const readUser = defineRead({
  path: '/api/users/:userId',
  summary: 'Read a member of the company and their roles',
  group: 'company',
  answers: { kind: 'one', resource: 'user' },
  shows: 'personal data',
  params: z.strictObject({ userId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { userId } }) {
    const [row] = await tx.query<AccessRow>(
      `SELECT ${MEMBERS.columns} ${MEMBERS.from} WHERE ${MEMBERS.where} AND m.user_id = $1`,
      [userId],
    );
    if (row === undefined) throw notFound('user', `There is no member ${userId}.`);
    return toAccess(row);
  },
});

export const readSettings = defineRead({
  path: '/api/company/settings',
  summary: 'Read the settings of the company',
  group: 'company',
  answers: { kind: 'report', resource: 'settings' },
  params: z.strictObject({}),
  query: z.strictObject({}),
  async read(tx) {
    const [row] = await tx.query<SettingsRow>(`SELECT ${SETTINGS_COLUMNS} FROM companies WHERE id = current_company()`);
    if (row === undefined) throw new Error('Bug! A company without its row');
    return toSettings(row);
  },
});

export const readApprovalPolicies = defineRead({
  path: '/api/company/approval-policies',
  summary: 'Read which writes wait for whose approval',
  group: 'company',
  answers: { kind: 'report', resource: 'approval_policies' },
  params: z.strictObject({}),
  query: z.strictObject({}),
  read: async (tx) => toPolicies(await readPolicies(tx)),
});
