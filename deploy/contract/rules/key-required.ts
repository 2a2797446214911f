import { type Rule, unlessAnswered, unlessUntouched } from '../rule.ts';

const TOO_LONG = 'k'.repeat(256);

/** A request without a valid key changes nothing: the service never invents a key. */
export const keyRequired: Rule = {
  name: 'key required',
  async check(trial) {
    const { http, home } = trial;
    const { key: _, ...content } = await trial.request(home);
    const request = { ...content, token: home.token };
    return unlessUntouched(trial, home.companyId, 'a request without a key', async () => [
      ...unlessAnswered(await http.send(request), ['400 idempotency_key_missing'], 'a request without a key'),
      ...unlessAnswered(
        await http.send({ ...request, key: TOO_LONG }),
        ['400 idempotency_key_invalid'],
        'a key of 256 characters',
      ),
    ]);
  },
};
