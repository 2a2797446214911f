import { z } from 'zod';
import { type List, readPage } from './page.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

export const readMe = defineRead({
  path: '/api/me',
  summary: 'Read who the token is, here',
  group: 'self',
  answers: { kind: 'report', resource: 'me' },
  params: z.strictObject({}),
  query: z.strictObject({}),
  async read(tx, _input, { companyId, userId, roles }) {
    const [user] = await tx.query<{ email: string }>('SELECT email FROM users WHERE id = $1', [userId]);
    if (user === undefined) throw new Error('Bug! A member who is no user');
    return { userId, email: user.email, companyId, roles };
  },
});

const MEMBERS: List = {
  columns: 'm.user_id, u.email, m.roles',
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
  params: z.strictObject({}),
  query: z.strictObject(pageQuery),
  async read(tx, { query: { limit, cursor } }, { companyId }) {
    const page = { path: this.path, companyId, filters: {}, limit, cursor };
    const { rows, nextCursor } = await readPage<MemberRow>(tx, MEMBERS, [], page);
    return { items: rows.map(({ user_id: userId, email, roles }) => ({ userId, email, roles })), nextCursor };
  },
});

type MemberRow = { user_id: string; email: string; roles: string[] };

export const readSettings = defineRead({
  path: '/api/company/settings',
  summary: 'Read the settings of the company',
  group: 'company',
  answers: { kind: 'report', resource: 'settings' },
  params: z.strictObject({}),
  query: z.strictObject({}),
  async read(tx) {
    const [row] = await tx.query<SettingsRow>(
      `SELECT version, name, time_zone, base_currency, books_closed_through FROM companies
       WHERE id = current_company()`,
    );
    if (row === undefined) throw new Error('Bug! A company without its row');
    return {
      version: row.version,
      name: row.name,
      timeZone: row.time_zone,
      baseCurrency: row.base_currency,
      booksClosedThrough: row.books_closed_through,
    };
  },
});

type SettingsRow = {
  version: number;
  name: string;
  time_zone: string;
  base_currency: string;
  books_closed_through: string | null;
};
