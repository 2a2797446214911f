import { describe, expect, test } from 'vitest';
import type { Tx } from '../../activities/database.ts';
import { createCursors } from '../../api/reads/cursor.ts';
import { listEvents } from '../../api/reads/events.ts';

const CURSORS = createCursors({ key: Buffer.alloc(32), signedFromMs: 0, unsignedUntilMs: 0 });
const READER = { companyId: 'a', userId: 'b', roles: ['owner'], cursors: CURSORS };
const [FIRST, SECOND] = ['8d4b02bb-a412-5bd1-9496-e8da96d8a881', '8d4b02bb-a412-5bd1-9496-e8da96d8a882'];

/** A page of one, of a company with two events. */
async function page(query: Record<string, unknown>) {
  const asked: string[] = [];
  const tx = {
    query: async (text: string) => {
      asked.push(text.replaceAll(/\s+/g, ' '));
      return [
        { id: SECOND, place: ['12'], sequence: '12' },
        { id: FIRST, place: ['11'], sequence: '11' },
      ];
    },
  } as unknown as Tx;
  const parsed = listEvents.query.parse({ limit: '1', ...query });
  return { asked, ...(await listEvents.read(tx, { params: {}, query: parsed }, READER)) };
}

describe('a page of events', () => {
  test('that does not say its order has the cursor and the statement that it had before there was one to say', async () => {
    const list = { path: '/api/events', companyId: 'a', filters: { kind: 'customer.created', from: undefined } };
    for (const order of [{}, { order: 'newest' }]) {
      const { asked, ...read } = await page({ kind: 'customer.created', ...order });
      expect(read).toMatchObject({ nextCursor: CURSORS.encode(['12'], list) });
      expect(asked).toHaveLength(1);
      expect(asked[0]).toMatch(
        /WHERE company_id = .* AND kind = \$1 AND kind NOT LIKE \$2 ORDER BY sequence DESC LIMIT/,
      );
    }
  });

  test('looks the event up, and reads on by the sequence', async () => {
    const { asked } = await page({ after: FIRST });
    expect(asked).toHaveLength(2);
    expect(asked[1]).toMatch(/ AND sequence > \$1::bigint AND kind NOT LIKE \$2 ORDER BY sequence LIMIT/);
  });
});
