import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

/** Up to what follows the list of an UPDATE; a comparison inside it counts as well, which only makes this test weaker. */
const UPDATE =
  /(?:\bUPDATE (?:public\.)?(\w+)(?: \w+)?\s+SET|\bINSERT INTO (?:public\.)?(\w+)(?:(?!\bINSERT INTO\b|;)[\s\S])*?\bDO UPDATE\s+SET)((?:(?!\b(?:WHERE|RETURNING|FROM jsonb_to_recordset)\b|;)[\s\S])*)/g;

test('a role of a process may update no column but those that a statement of ours updates', async () => {
  const schema = await readFile(join(ROOT, 'migrations/schema.sql'), 'utf8');
  const sources = [schema];
  for (const folder of ['activities', 'api', 'worker']) {
    for (const file of await readdir(join(ROOT, folder), { recursive: true })) {
      if (file.endsWith('.ts')) sources.push(await readFile(join(ROOT, folder, file), 'utf8'));
    }
  }
  const updated = new Set<string>();
  for (const [, table, inserted, list = ''] of sources.join('\n').matchAll(UPDATE)) {
    for (const [, column] of list.matchAll(/(\w+)\s*=/g)) updated.add(`${table ?? inserted}.${column}`);
  }
  const granted = [
    ...schema.matchAll(/GRANT (.*\bUPDATE\b.*) ON (?:TABLE )?public\.(\w+)(?:\((\w+)\))? TO (\w+);/g),
  ].map(([, , table, column = '*', role]) => ({ role, column: `${table}.${column}` }));
  expect(granted.length).toBeGreaterThan(40);
  expect(granted.filter(({ column }) => !updated.has(column))).toEqual([]);
});
