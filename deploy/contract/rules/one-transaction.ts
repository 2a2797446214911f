import { type Rule, succeed, unless } from '../rule.ts';

/**
 * All that a write leaves, its rows wherever they are, its record, its audit row and its event, was made by one
 * transaction: PostgreSQL keeps with each row which one that was (`xmin`).
 */
export const oneTransaction: Rule = {
  name: 'one transaction',
  async check(trial) {
    const { books, home } = trial;
    const write = await trial.request(home);
    const before = await books.makers(home.companyId);
    await succeed(trial, write);
    const after = await books.makers(home.companyId);
    const record = await books.record(home.companyId, write.key);
    if (record === undefined) return ['there is no record of the write'];
    const foreign = [...after].filter((maker) => !before.has(maker) && !maker.endsWith(` ${record.madeBy}`));
    return [
      ...unless(foreign.length === 0, `another transaction than that of the record made rows of ${tablesOf(foreign)}`),
      ...unless(record.auditMadeBy.join() === record.madeBy, 'the audit row is not of the transaction of the record'),
      ...unless(
        record.events.length === 1 &&
          // The relay's mark is a new version of the row; when its transaction began still tells.
          record.events.every(({ madeBy, isMarked, isOfTheClaim }) =>
            isMarked ? isOfTheClaim : madeBy === record.madeBy,
          ),
        'the event is not of the transaction of the record',
      ),
    ];
  },
};

function tablesOf(makers: readonly string[]): string {
  return [...new Set(makers.map((maker) => maker.split(' ')[0]))].join(', ');
}
