import { labelOf } from '../../client/http.ts';
import { type Rule, settle, unless } from '../rule.ts';
import { expectedWriteId } from '../uuid.ts';

const AT_ONCE = 20;

/** The database itself keeps keys apart: twenty requests with one key, all at once, come to one write. */
export const uniqueInDatabase: Rule = {
  name: 'unique in the database',
  async check(trial) {
    const { operation, books, http, home } = trial;
    const write = await trial.request(home);
    const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => settle(http, write)));
    const labels = [...new Set(answers.map(labelOf))];
    const writeId = expectedWriteId(home.companyId, operation.name, write.key);
    const { writes, entries, events, newAudit } = await books.effects(home.companyId, write.key, writeId);
    return [
      ...unless(labels.join() === String(operation.successStatus), `one key at once is answered ${labels.join(', ')}`),
      ...unless(new Set(answers.map(({ text }) => text)).size === 1, 'one key at once has several answers'),
      ...unless(answers.filter(({ replayed }) => !replayed).length <= 1, 'several answers to one key are no replays'),
      ...unless(
        writes === 1 && newAudit === 1 && events === 1 && entries <= 1,
        `one key at once makes ${writes} writes, ${newAudit} audit rows, ${events} events, ${entries} entries`,
      ),
      ...unless(
        await books.isUnique('idempotent_writes', ['company_id', 'idempotency_key']),
        'no unique index of company and key',
      ),
      ...unless(await books.isUnique('idempotent_writes', ['write_id']), 'no unique index of write IDs'),
      ...unless(await books.isUnique('outbox', ['company_id', 'write_id']), 'no unique index of events by write'),
    ];
  },
};
