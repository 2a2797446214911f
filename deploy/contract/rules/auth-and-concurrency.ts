import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import { labelOf } from '../../client/http.ts';
import { type Rule, settle, succeed, type Trial, unless, unlessAnswered, unlessUntouched } from '../rule.ts';
import { expectedWriteId } from '../uuid.ts';

const AT_ONCE = 8;
/** Beyond any leeway for clocks that differ. */
const EXPIRED_SECONDS = -3_600;
/** All start from the version that the settings have, so one of those at once is the winner. */
const ONE_WINS = new Set(['updateCompanySettings']);

/** Only a member with a role for it writes, be it the first time or a replay; and many at once are as many writes. */
export const authAndConcurrency: Rule = {
  name: 'real auth and concurrency',
  check: async (trial) => [...(await refused(trial)), ...(await manyAtOnce(trial))],
};

async function refused(trial: Trial): Promise<readonly string[]> {
  const { http, home, abroad } = trial;
  const done = await trial.request(home);
  await succeed(trial, done);
  const fresh = await trial.request(home);
  const tokens = await wrongTokens(trial, home.companyId, home.token, abroad.token);
  return unlessUntouched(trial, home.companyId, 'a request of someone who may not', async () => {
    const gaps: string[] = [];
    for (const { who, token, label } of tokens) {
      for (const [what, write] of [['a write', fresh] as const, ['a replay', done] as const]) {
        gaps.push(...unlessAnswered(await http.send({ ...write, token }), [label], `${what} with ${who}`));
      }
    }
    return gaps;
  });
}

async function wrongTokens({ subject, auditorToken }: Trial, companyId: string, own: string, foreign: string) {
  const [owner, stranger] = [subjectOf(own), subjectOf(foreign)];
  const [head = '', claims = '', signature = ''] = own.split('.');
  const unsigned = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url');
  const [unauthenticated, forbidden] = ['401 unauthenticated', '403 forbidden'];
  return [
    { who: 'no token', token: '', label: unauthenticated },
    { who: 'a forged signature', token: [head, claims, forged(signature)].join('.'), label: unauthenticated },
    { who: 'a token without a signature', token: `${unsigned}.${claims}.`, label: unauthenticated },
    {
      who: 'an expired token',
      token: await subject.sign({ subject: owner, companyId, ttlSeconds: EXPIRED_SECONDS }),
      label: unauthenticated,
    },
    { who: 'a role that may not', token: auditorToken, label: forbidden },
    {
      who: 'an owner of another company',
      token: await subject.sign({ subject: stranger, companyId }),
      label: '403 not_a_member',
    },
    {
      who: 'nobody that is known',
      token: await subject.sign({ subject: randomUUID(), companyId }),
      label: '403 not_a_member',
    },
  ];
}

function subjectOf(token: string): string {
  const { sub } = decodeJwt(token);
  if (sub === undefined) throw new Error('The token names no user (sub).');
  return sub;
}

function forged(signature: string): string {
  return `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
}

async function manyAtOnce(trial: Trial): Promise<readonly string[]> {
  const { operation, books, http, home } = trial;
  const writes = await Promise.all(Array.from({ length: AT_ONCE }, () => trial.request(home)));
  const answers = await Promise.all(writes.map((write) => settle(http, write)));
  const succeeded = answers.filter(({ status }) => status === operation.successStatus).length;
  const expected = ONE_WINS.has(operation.name) ? 1 : AT_ONCE;
  const gaps = [
    ...unless(
      succeeded === expected,
      `${succeeded} of ${AT_ONCE} at once succeed, not ${expected}: ${[...new Set(answers.map(labelOf))].join(', ')}`,
    ),
  ];
  for (const [index, { key }] of writes.entries()) {
    const hasSucceeded = answers[index]?.status === operation.successStatus;
    const writeId = expectedWriteId(home.companyId, operation.name, key);
    const effects = await books.effects(home.companyId, key, writeId);
    const times = hasSucceeded ? 1 : 0;
    const isRight =
      effects.writes === 1 && effects.newAudit === times && effects.events === times && effects.entries <= times;
    gaps.push(...unless(isRight, `one of ${AT_ONCE} at once leaves ${JSON.stringify(effects)}`));
  }
  return gaps;
}
