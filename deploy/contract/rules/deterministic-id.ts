import { type Rule, succeed, type Trial, unless } from '../rule.ts';
import { expectedEventId, expectedWriteId } from '../uuid.ts';

/** A chart of accounts is there before any write, and an entry is mostly a further row of its write. */
const NOT_ONLY_OF_WRITES = new Set(['accounts', 'journal_entries']);

/** Company, operation and key make the ID of the write, of the row that it creates and of its event. */
export const deterministicId: Rule = {
  name: 'deterministic ID',
  async check(trial) {
    const { operation, books, home } = trial;
    const write = await trial.request(home);
    await succeed(trial, write);
    const expected = expectedWriteId(home.companyId, operation.name, write.key);
    const record = await books.record(home.companyId, write.key);
    return [
      ...unless(record?.writeId === expected, `the write has the ID ${record?.writeId}, not ${expected}`),
      ...unless(
        record?.events.map(({ id }) => id).join() === expectedEventId(expected),
        'its event has not the ID that follows from that of the write',
      ),
      ...(operation.successStatus === 201 ? await createsThatRow(trial, expected) : []),
    ];
  },
};

/** And no row of where it stands, in whichever company, was made by anything but a write. */
async function createsThatRow({ books, home }: Trial, expected: string): Promise<readonly string[]> {
  const tables = await books.tablesWith(home.companyId, expected);
  const gaps = [...unless(tables.length > 0, 'no row that it creates has the ID of the write')];
  for (const table of tables.filter((name) => !NOT_ONLY_OF_WRITES.has(name))) {
    const strays = await books.strays(table);
    gaps.push(...unless(strays === 0, `${strays} rows of ${table} have the ID of no write: they came by another way`));
  }
  return gaps;
}
