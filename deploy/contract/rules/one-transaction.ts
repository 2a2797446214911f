import { type Rule, succeed, unless } from '../rule.ts';

/**
 * One transaction wrote all that a write leaves: its rows in any table, its record, its audit row and its event. PostgreSQL
 * stores the transaction of each row version (`xmin`).
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
      ...unless(foreign.length === 0, `a transaction other than the record’s wrote rows of ${tablesOf(foreign)}`),
      ...unless(
        record.auditMadeBy.join() === record.madeBy,
        'another transaction than the record’s wrote the audit row',
      ),
      ...unless(
        record.events.length === 1 &&
          // The relay's mark is a new row version; then compare by the time at which the transaction began.
          record.events.every(({ madeBy, isMarked, isOfTheClaim }) =>
            isMarked ? isOfTheClaim : madeBy === record.madeBy,
          ),
        'another transaction than the record’s wrote the event',
      ),
    ];
  },
};

function tablesOf(makers: readonly string[]): string {
  return [...new Set(makers.map((maker) => maker.split(' ')[0]))].join(', ');
}
