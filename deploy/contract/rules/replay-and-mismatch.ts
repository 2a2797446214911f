import type { Operation } from '../../../activities/operation.ts';
import { OPERATIONS } from '../../../activities/operation-list.ts';
import type { Answer } from '../../client/src/http.ts';
import type { Write } from '../../client/src/submit-write.ts';
import { withOtherContent } from '../requests.ts';
import { type Rule, settle, succeed, unless, unlessAnswered, unlessUntouched } from '../rule.ts';

/** A repetition gets the same answer; other content or another route under the same key is refused and changes nothing. */
export const replayAndMismatch: Rule = {
  name: 'replay and mismatch',
  async check(trial) {
    const { operation, http, home } = trial;
    const write = await trial.request(home);
    const first = await succeed(trial, write);
    return unlessUntouched(trial, home.companyId, 'a replay or a mismatch', async () => {
      const again = await settle(http, write);
      const other = await settle(http, withOtherContent(operation, write));
      const elsewhere = await settle(http, onOtherRoute(operation, write));
      const atLast = await settle(http, write);
      return [
        ...unless(isSame(first, again), 'a repetition got another answer'),
        ...unless(again.replayed, 'a repetition was not marked as a replay'),
        ...unlessAnswered(other, ['422 idempotency_key_reused'], 'other content under the same key'),
        ...unless(namesDifference(other), 'the mismatch does not name what differs'),
        ...unlessAnswered(elsewhere, ['422 idempotency_key_reused'], 'another route under the same key'),
        ...unless(
          isSame(first, atLast) && atLast.replayed,
          'a repetition after a mismatch did not get the first answer',
        ),
      ];
    });
  },
};

function isSame(one: Answer, other: Answer): boolean {
  return one.status === other.status && one.text === other.text && one.location === other.location;
}

function namesDifference({ text }: Answer): boolean {
  try {
    return (JSON.parse(text) as { differences?: unknown[] }).differences?.length !== 0;
  } catch {
    return false;
  }
}

/** A valid request of another operation without path parameters. */
function onOtherRoute(operation: Operation, { token, key }: Write): Write {
  const other = OPERATIONS.find(({ name, path }) => name !== operation.name && !path.includes(':'));
  const [example] = other?.examples ?? [];
  if (other === undefined || example === undefined) throw new Error('there is no other operation to send');
  return { method: other.method, path: other.path, token, key, body: JSON.stringify(example.body) };
}
