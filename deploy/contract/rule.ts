import type { Operation } from '../../activities/operation.ts';
import type { Tenant } from '../cli/target.ts';
import { labelOf } from '../client/src/answers.ts';
import type { Answer, Http } from '../client/src/http.ts';
import { submitWrite, type Write } from '../client/src/submit-write.ts';
import type { Books } from './books.ts';
import type { Subject } from './subject.ts';

/** A rule for every operation. A gap is a sentence that says what was observed instead. */
export type Rule = {
  readonly name: string;
  check(trial: Trial): Promise<readonly string[]>;
};

/** One operation in two companies of its own, in which nobody else writes. */
export type Trial = {
  readonly operation: Operation;
  readonly subject: Subject;
  readonly http: Http;
  readonly books: Books;
  readonly home: Tenant;
  readonly abroad: Tenant;
  /** The token of a member of `home` whose role may read everything and write nothing. */
  readonly auditorToken: string;
  /** A new request, not yet sent, whose resources exist in that company. */
  request(tenant: Tenant, key?: string): Promise<Write>;
};

const GIVE_UP_AFTER_MS = 60_000;

/** Sends the write, with retries, until it has a final answer. */
export async function settle(http: Http, write: Write): Promise<Answer> {
  const { final } = await submitWrite(http, write, { deadlineMs: GIVE_UP_AFTER_MS });
  if (final === undefined) throw new Error(`no final answer to ${write.method} ${write.path}`);
  return final;
}

/** Sends a write that must succeed for the rule to be checked. */
export async function succeed({ http, operation }: Trial, write: Write): Promise<Answer> {
  const answer = await settle(http, write);
  if (answer.status !== operation.successStatus) {
    throw new Error(`its example was answered ${labelOf(answer)}, not ${operation.successStatus}`);
  }
  return answer;
}

/** A gap unless `isKept`. */
export function unless(isKept: boolean, gap: string): readonly string[] {
  return isKept ? [] : [gap];
}

/** A gap unless the answer is one of these, such as `401 unauthenticated`. */
export function unlessAnswered(answer: Answer, labels: readonly string[], what: string): readonly string[] {
  return unless(
    labels.includes(labelOf(answer)),
    `${what} was answered ${labelOf(answer)}, not ${labels.join(' or ')}`,
  );
}

/** A gap if `work` changed anything in the company's books. */
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
