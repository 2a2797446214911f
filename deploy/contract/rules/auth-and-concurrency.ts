import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import { ONE_WINS } from '../../cli/examples.ts';
import { labelOf } from '../../client/src/answers.ts';
import { type Rule, settle, succeed, type Trial, unless, unlessAnswered, unlessUntouched } from '../rule.ts';
import { expectedWriteId } from '../uuid.ts';

const CONCURRENT_WRITES = 8;
/** Longer ago than any tolerance for clock skew. */
const EXPIRED_SECONDS = -3_600;

/** Only a member with a permitted role gets an answer, first or replayed; concurrent requests with N keys make N writes. */
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
  return unlessUntouched(trial, home.companyId, 'an unauthorized request', async () => {
    const gaps: string[] = [];
    for (const { caller, token, label } of tokens) {
      for (const [what, write] of [['a write', fresh] as const, ['a replay', done] as const]) {
        gaps.push(...unlessAnswered(await http.send({ ...write, token }), [label], `${what} with ${caller}`));
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
    { caller: 'no token', token: '', label: unauthenticated },
    { caller: 'a forged signature', token: [head, claims, forged(signature)].join('.'), label: unauthenticated },
    { caller: 'a token without a signature', token: `${unsigned}.${claims}.`, label: unauthenticated },
    {
      caller: 'an expired token',
      token: await subject.sign({ subject: owner, companyId, ttlSeconds: EXPIRED_SECONDS }),
      label: unauthenticated,
    },
    { caller: 'a role that may not write', token: auditorToken, label: forbidden },
    {
      caller: 'a token of another company’s owner',
      token: await subject.sign({ subject: stranger, companyId }),
      label: '403 not_a_member',
    },
    {
      caller: 'a token of an unknown user',
      token: await subject.sign({ subject: randomUUID(), companyId }),
      label: '403 not_a_member',
    },
  ];
}

function subjectOf(token: string): string {
  const { sub } = decodeJwt(token);
  if (sub === undefined) throw new Error('The token has no sub claim.');
  return sub;
}

function forged(signature: string): string {
  return `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
}

async function manyAtOnce(trial: Trial): Promise<readonly string[]> {
  const { operation, books, http, home } = trial;
  const writes = await Promise.all(Array.from({ length: CONCURRENT_WRITES }, () => trial.request(home)));
  const answers = await Promise.all(writes.map((write) => settle(http, write)));
  const succeeded = answers.filter(({ status }) => status === operation.successStatus).length;
  const expected = ONE_WINS.has(operation.name) ? 1 : CONCURRENT_WRITES;
  const gaps = [
    ...unless(
      succeeded === expected,
      `${succeeded} of ${CONCURRENT_WRITES} concurrent writes succeeded, not ${expected}: ${[...new Set(answers.map(labelOf))].join(', ')}`,
    ),
  ];
  for (const [index, { key }] of writes.entries()) {
    const hasSucceeded = answers[index]?.status === operation.successStatus;
    const writeId = expectedWriteId(home.companyId, operation.name, key);
    const effects = await books.effects(home.companyId, key, writeId);
    const times = hasSucceeded ? 1 : 0;
    const isRight =
      effects.writes === 1 && effects.newAudit === times && effects.events === times && effects.entries <= times;
    gaps.push(...unless(isRight, `one of ${CONCURRENT_WRITES} concurrent writes left ${JSON.stringify(effects)}`));
  }
  return gaps;
}
