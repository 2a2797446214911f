import { describe, expect, test } from 'vitest';
import type { Tx } from '../../activities/database.ts';
import { createCursors } from '../../api/reads/cursor.ts';
import { type Filter, type List, readPage } from '../../api/reads/page.ts';

const LIST: List = {
  columns: 'id, amount',
  from: 'FROM payments',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};
const CURSORS = createCursors({ key: Buffer.alloc(32), signedFromMs: 0, unsignedUntilMs: 0 });
const REQUEST = { path: '/api/payments', companyId: 'a', filters: {} };
const ID = '8d4b02bb-a412-5bd1-9496-e8da96d8a88';
const PLACES = [1, 2, 3, 4].map((day) => ({ place: [`2026-01-0${day}T00:00:00.000000Z`, `${ID}${day}`] }));
const [{ place: PLACE } = { place: [] }] = PLACES;

/** What the database would be asked, and the page that comes of as many rows as it has. */
async function page(
  options: { rows?: number; limit?: number; cursor?: string; filters?: readonly Filter[]; list?: List } = {},
) {
  const asked: { text: string; values: readonly unknown[] }[] = [];
  const tx = {
    query: async (text: string, values: readonly unknown[]) => {
      asked.push({ text: text.replaceAll(/\s+/g, ' '), values });
      return PLACES.slice(0, options.rows ?? 0);
    },
  } as unknown as Tx;
  const list = options.list ?? LIST;
  const { rows, nextCursor } = await readPage(tx, list, options.filters ?? [], {
    ...REQUEST,
    cursors: CURSORS,
    limit: options.limit ?? 3,
    cursor: options.cursor,
  });
  const types = list.order.map(({ type }) => type);
  return { rows, place: nextCursor === null ? null : CURSORS.decode(nextCursor, REQUEST, types), ...asked[0] };
}

describe('a page', () => {
  test('has as many rows as were asked for; one more tells that there is a next page', async () => {
    expect(await page({ rows: 4 })).toMatchObject({ rows: PLACES.slice(0, 3), place: PLACES[2]?.place, values: [4] });
  });

  test('that is the last one has no cursor, full or not', async () => {
    expect(await page({ rows: 3 })).toMatchObject({ rows: PLACES.slice(0, 3), place: null });
    expect(await page({ rows: 0 })).toMatchObject({ rows: [], place: null });
  });

  test('is asked for in one constant statement, newest first, its place exact to the microsecond', async () => {
    expect((await page()).text).toBe(
      `SELECT id, amount, ARRAY[to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), id::text] AS place ` +
        'FROM payments WHERE company_id = current_company() ORDER BY created_at DESC, id DESC LIMIT $1',
    );
  });

  test('goes on strictly behind the place of its cursor', async () => {
    const cursor = CURSORS.encode(PLACE, REQUEST);
    expect(await page({ cursor })).toMatchObject({
      text: expect.stringContaining(
        'WHERE company_id = current_company() AND (created_at, id) < ($1::timestamptz, $2::uuid) ORDER BY',
      ),
      values: [...PLACE, 4],
    });
  });

  test('of an ascending list goes the other way', async () => {
    const cursor = CURSORS.encode(['1000'], REQUEST);
    const list: List = { ...LIST, order: [{ sql: 'code', type: 'text', ascending: true }] };
    expect((await page({ cursor, list })).text).toContain('AND (code) > ($1::text) ORDER BY code LIMIT $2');
  });

  test('of two directions begins at its first place, and goes on behind the others', async () => {
    const cursor = CURSORS.encode(PLACE, REQUEST);
    const [first, second] = LIST.order;
    const list: List = { ...LIST, order: [first, { ...second, ascending: true }] as unknown as List['order'] };
    expect((await page({ cursor, list })).text).toContain(
      'AND created_at <= $1::timestamptz AND ' +
        '(created_at < $1::timestamptz OR (created_at = $1::timestamptz AND id > $2::uuid)) ORDER BY',
    );
  });

  test('has each filter that is given, with its values in their order', async () => {
    const filters: Filter[] = [
      ['currency = ?', 'USD'],
      ['amount > ?', undefined],
      ['(day >= ? OR day < ?)', 'from', 'to'],
    ];
    const cursor = CURSORS.encode(PLACE, REQUEST);
    const { text, values } = await page({ filters, cursor });
    expect(text).toContain(' AND currency = $3 AND (day >= $4 OR day < $5) ORDER BY');
    expect(values).toEqual([...PLACE, 'USD', 'from', 'to', 4]);
  });

  test('without an order cannot go on', async () => {
    const cursor = CURSORS.encode([], REQUEST);
    await expect(page({ cursor, list: { ...LIST, order: [] } })).rejects.toThrow('Bug!');
  });
});
