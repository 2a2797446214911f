import { labelOf } from '../../client/src/answers.ts';
import { type Rule, settle, unless } from '../rule.ts';
import { expectedWriteId } from '../uuid.ts';

const CONCURRENT_REQUESTS = 20;

/** Unique indexes enforce one write per key: twenty concurrent requests with one key make one write. */
export const uniqueInDatabase: Rule = {
  name: 'unique in the database',
  async check(trial) {
    const { operation, books, http, home } = trial;
    const write = await trial.request(home);
    const answers = await Promise.all(Array.from({ length: CONCURRENT_REQUESTS }, () => settle(http, write)));
    const labels = [...new Set(answers.map(labelOf))];
    const writeId = expectedWriteId(home.companyId, operation.name, write.key);
    const { writes, entries, events, newAudit } = await books.effects(home.companyId, write.key, writeId);
    return [
      ...unless(
        labels.join() === String(operation.successStatus),
        `concurrent requests with one key were answered ${labels.join(', ')}`,
      ),
      ...unless(
        new Set(answers.map(({ text }) => text)).size === 1,
        'concurrent requests with one key got different answers',
      ),
      ...unless(
        answers.filter(({ replayed }) => !replayed).length <= 1,
        'several answers to one key are not marked as replays',
      ),
      ...unless(
        writes === 1 && newAudit === 1 && events === 1 && entries <= 1,
        `concurrent requests with one key made ${writes} writes, ${newAudit} audit rows, ${events} events, ${entries} entries`,
      ),
      ...unless(
        await books.isUnique('idempotent_writes', ['company_id', 'idempotency_key']),
        'there is no unique index on company and key',
      ),
      ...unless(await books.isUnique('idempotent_writes', ['write_id']), 'there is no unique index on write IDs'),
      ...unless(
        await books.isUnique('outbox', ['company_id', 'write_id']),
        'there is no unique index on the events of a write',
      ),
    ];
  },
};
