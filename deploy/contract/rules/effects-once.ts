import { randomUUID } from 'node:crypto';
import type { Write } from '../../client/src/submit-write.ts';
import { withOtherContent } from '../requests.ts';
import { type Rule, settle, succeed, type Trial, unless, unlessUntouched } from '../rule.ts';
import { expectedWriteId } from '../uuid.ts';

const REPLAYS = 10;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;

/** However often it is sent, a write makes one record, one event and at most one entry; a rejected one only its record. */
export const effectsOnce: Rule = {
  name: 'effects only once',
  async check(trial) {
    const { operation, books, http, home } = trial;
    const write = await trial.request(home);
    await succeed(trial, write);
    const gaps = await unlessUntouched(trial, home.companyId, 'a repetition', async () => {
      const answers = await Promise.all(Array.from({ length: REPLAYS }, () => settle(http, write)));
      await settle(http, withOtherContent(operation, write));
      return unless(
        answers.every(({ replayed }) => replayed),
        'a repetition was not marked as a replay',
      );
    });
    const writeId = expectedWriteId(home.companyId, operation.name, write.key);
    const effects = await books.effects(home.companyId, write.key, writeId);
    const { writes, newAudit, events, entries } = effects;
    return [
      ...gaps,
      ...unless(
        writes === 1 && newAudit === 1 && events === 1 && entries <= 1,
        `it left ${writes} writes, ${newAudit} audit rows with status new, ${events} events, ${entries} entries`,
      ),
      ...unless(
        effects.replayedAudit >= REPLAYS,
        `${effects.replayedAudit} of ${REPLAYS} replays are in the audit log`,
      ),
      ...unless(effects.failedAudit === 1, `there are ${effects.failedAudit} audit rows for one mismatch`),
      ...(await rejectedLeavesNothing(trial, write)),
    ];
  },
};

/** A path with an unknown ID is a stored rejection, which leaves a record and a `failed` audit row and nothing else. */
async function rejectedLeavesNothing({ operation, books, http, home }: Trial, done: Write): Promise<readonly string[]> {
  if (!UUID.test(done.path)) return [];
  const write = { ...done, key: `${done.key}:nothing`, path: done.path.replace(UUID, randomUUID()) };
  const before = await books.digest(home.companyId);
  const [first, again] = [await settle(http, write), await settle(http, write)];
  const changed = books.differing(before, await books.digest(home.companyId));
  const writeId = expectedWriteId(home.companyId, operation.name, write.key);
  const { newAudit, failedAudit, events, entries } = await books.effects(home.companyId, write.key, writeId);
  return [
    ...unless(first.status === 404 && first.text === again.text && again.replayed, 'a rejection was not stored'),
    ...unless(changed.join() === 'idempotent_writes', `a rejection changed rows of ${changed.join(', ')}`),
    ...unless(
      newAudit === 0 && failedAudit === 1 && events === 0 && entries === 0,
      'a rejection did not leave exactly one audit row with status failed',
    ),
  ];
}
