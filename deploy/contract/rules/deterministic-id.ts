import { type Rule, succeed, type Trial, unless } from '../rule.ts';
import { expectedEventId, expectedWriteId } from '../uuid.ts';

/** Also created otherwise: a new company starts with accounts, and most entries are further rows of their write. */
const NOT_ONLY_OF_WRITES = new Set(['accounts', 'journal_entries']);

/** Company, operation and key determine the ID of the write, of the row that it creates and of its event. */
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
        'the ID of its event does not derive from that of the write',
      ),
      ...(operation.successStatus === 201 ? await createsThatRow(trial, expected) : []),
    ];
  },
};

/** Also checks that every row of that table, in any company, was created by a write. */
async function createsThatRow({ books, home }: Trial, expected: string): Promise<readonly string[]> {
  const tables = await books.tablesWith(home.companyId, expected);
  const gaps = [...unless(tables.length > 0, 'it created no row with the ID of the write')];
  for (const table of tables.filter((name) => !NOT_ONLY_OF_WRITES.has(name))) {
    const strays = await books.strays(table);
    gaps.push(
      ...unless(strays === 0, `${strays} rows of ${table} do not have the ID of a write: they were not created by one`),
    );
  }
  return gaps;
}
