import { labelOf } from '../client/src/answers.ts';
import type { Answer, Http } from '../client/src/http.ts';
import { submitWrite, type Write } from '../client/src/submit-write.ts';
import type { Remote } from './config.ts';

/** One check, whether it passed, and what was observed. */
export type SmokeCheck = { readonly what: string; readonly passed: boolean; readonly seen: string };

const GIVE_UP_AFTER_MS = 60_000;

/**
 * Checks the system from outside as a client would, with one customer. Goes on after a failure, because the other results
 * help to locate it. An error within a check is that check's result and is not thrown.
 */
export async function smoke(http: Http, remote: Remote, key: string): Promise<SmokeCheck[]> {
  const { token, otherToken } = remote;
  const checks: SmokeCheck[] = [];
  const check = async (what: string, run: () => Promise<[passed: boolean, seen: string]>) => {
    const [passed, seen] = await run().catch((error: Error) => [false, error.message] as [boolean, string]);
    checks.push({ what, passed, seen });
  };
  const get = (path: string, as = token) => http.send({ method: 'GET', path, token: as });
  const is = (answer: Answer, label: string): [boolean, string] => [labelOf(answer) === label, labelOf(answer)];
  const body = { name: 'Smoke test', externalReference: key };
  const write: Write = { method: 'POST', path: '/api/customers', token, key, body: JSON.stringify(body) };
  const send = async (sent: Write) => {
    const { final, onTheWay } = await submitWrite(http, sent, { deadlineMs: GIVE_UP_AFTER_MS });
    if (final === undefined) throw new Error(`no final answer: ${JSON.stringify(onTheWay)}`);
    return final;
  };
  let first: Answer | undefined;

  await check('the process is ready', async () => is(await get('/readyz'), '200'));
  await check('the OpenAPI document is served', async () => is(await get('/openapi.json'), '200'));
  await check('a request without a valid token is refused', async () =>
    is(await get('/api/me', 'not.a.token'), '401 unauthenticated'),
  );
  await check('the token belongs to a member', async () => is(await get('/api/me'), '200'));
  await check('a write succeeds', async () => {
    first = await send(write);
    return [first.status === 201, labelOf(first)];
  });
  await check('a repetition is a replay with the same bytes', async () => {
    const again = await send(write);
    const same = again.replayed && again.text === first?.text && again.location === first.location;
    return [again.status === 201 && same, `${labelOf(again)}${again.replayed ? ', replayed' : ''}`];
  });
  await check('other content under the same key is refused', async () =>
    is(await send({ ...write, body: JSON.stringify({ ...body, name: 'Other' }) }), '422 idempotency_key_reused'),
  );
  const status = `/api/writes/${encodeURIComponent(key)}`;
  await check('the status of the write is succeeded', async () => {
    const answer = await get(status);
    return [answer.status === 200 && JSON.parse(answer.text).state === 'succeeded', labelOf(answer)];
  });
  await check('the created customer can be read', async () => {
    const answer = await get(first?.location ?? '/api/customers/none');
    return [answer.status === 200 && JSON.parse(answer.text).externalReference === key, labelOf(answer)];
  });
  if (otherToken !== undefined) {
    await check('another company does not see the write', async () =>
      is(await get(status, otherToken), '404 write_not_found'),
    );
    await check('another company does not see the customer', async () =>
      is(await get(first?.location ?? '/', otherToken), '404 customer_not_found'),
    );
  }
  return checks;
}
