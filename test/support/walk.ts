import { expect } from 'vitest';
import type { ApiClient } from './client.ts';

/** Reads a list from its first page to its last; `betweenPages` is where others write. */
export async function walk(
  api: ApiClient,
  path: `/api/${string}`,
  { limit = 2, betweenPages = async () => {} }: { limit?: number; betweenPages?: () => Promise<unknown> } = {},
  // biome-ignore lint/suspicious/noExplicitAny: each test says what it expects of an item
): Promise<any[]> {
  const items: unknown[] = [];
  let cursor = '';
  while (true) {
    const page = await api.get(`${path}${path.includes('?') ? '&' : '?'}limit=${limit}${cursor}`);
    expect([page.status, page.json.code]).toEqual([200, undefined]);
    expect(page.json.items.length).toBeLessThanOrEqual(limit);
    items.push(...page.json.items);
    if (page.json.nextCursor === null) return items;
    expect(page.json.items).toHaveLength(limit);
    cursor = `&cursor=${page.json.nextCursor}`;
    await betweenPages();
  }
}
