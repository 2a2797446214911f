import type { Operation } from '../../activities/operation.ts';
import { type Answer, type Http, labelOf } from '../client/http.ts';
import { submitWrite, type Write } from '../client/submit-write.ts';
import type { Tenant } from '../client/target.ts';
import type { Books } from './books.ts';
import type { Subject } from './subject.ts';

/** What every operation must keep. A gap is a sentence that says what was seen instead. */
export type Rule = {
  readonly name: string;
  check(trial: Trial): Promise<readonly string[]>;
};

/** One operation in two companies of its own, of which nobody else writes in. */
export type Trial = {
  readonly operation: Operation;
  readonly subject: Subject;
  readonly http: Http;
  readonly books: Books;
  readonly home: Tenant;
  readonly abroad: Tenant;
  /** Of a member of `home` whose role reads all and writes nothing. */
  readonly auditorToken: string;
  /** A request that has not been sent; what it names has been made in that company. */
  request(tenant: Tenant, key?: string): Promise<Write>;
};

const GIVE_UP_AFTER_MS = 60_000;

/** The final answer, however often it has to be asked for. */
export async function settle(http: Http, write: Write): Promise<Answer> {
  const { final } = await submitWrite(http, write, { giveUpAfterMs: GIVE_UP_AFTER_MS });
  if (final === undefined) throw new Error(`no final answer to ${write.method} ${write.path}`);
  return final;
}

/** A write that has to succeed for the rule to have something to look at. */
export async function succeed({ http, operation }: Trial, write: Write): Promise<Answer> {
  const answer = await settle(http, write);
  if (answer.status !== operation.successStatus) {
    throw new Error(`its example is answered ${labelOf(answer)}, not ${operation.successStatus}`);
  }
  return answer;
}

/** A gap where `isKept` is false. */
export function unless(isKept: boolean, gap: string): readonly string[] {
  return isKept ? [] : [gap];
}

/** A gap where the answer is none of these: `401 unauthenticated`. */
export function unlessAnswered(answer: Answer, labels: readonly string[], what: string): readonly string[] {
  return unless(labels.includes(labelOf(answer)), `${what} is answered ${labelOf(answer)}, not ${labels.join(' or ')}`);
}

/** A gap where `work` changed anything in the books of the company. */
export async function unlessUntouched(
  { books }: Trial,
  companyId: string,
  what: string,
  work: () => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const before = await books.digest(companyId);
  const gaps = await work();
  const changed = books.differing(before, await books.digest(companyId));
  return [...gaps, ...unless(changed.length === 0, `${what} changed rows of ${changed.join(', ')}`)];
}
