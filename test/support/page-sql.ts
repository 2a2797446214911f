import { readFileSync } from 'node:fs';

/** A block of SQL of a page, and under which heading it stands. */
export type PageSql = { readonly sql: string; readonly heading: string; readonly info: string };

/** The page's ```sql blocks whose text matches, in their order; `info` is what stands behind `sql` on the fence. */
export function sqlOfPage(path: string, matching = /(?:)/): PageSql[] {
  const text = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
  const blocks: PageSql[] = [];
  let heading = '';
  for (const match of text.matchAll(/^(#{2,4} .*)$|^ *```sql *(.*)\n([\s\S]*?)^ *```$/gm)) {
    const [, title, info, sql] = match;
    if (title !== undefined) heading = title.replace(/^#+ /, '');
    else if (sql !== undefined && matching.test(sql)) blocks.push({ sql, heading, info: info ?? '' });
  }
  return blocks;
}
