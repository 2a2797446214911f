import type { Answer } from '../../client/http.ts';
import type { Write } from '../../client/submit-write.ts';
import { type Rule, settle, succeed, type Trial, unless, unlessAnswered, unlessUntouched } from '../rule.ts';
import { expectedWriteId } from '../uuid.ts';

const EMPTY_LIST = JSON.stringify({ items: [], nextCursor: null });

/** One key in two companies is two writes; neither company sees, names or changes what is the other's. */
export const tenantIsolation: Rule = {
  name: 'tenant isolation',
  async check(trial) {
    const { operation, books, http, home, abroad } = trial;
    const write = await trial.request(home);
    const theirs = await trial.request(abroad, write.key);
    const [mine, other] = [await succeed(trial, write), await succeed(trial, theirs)];
    const writeId = expectedWriteId(home.companyId, operation.name, write.key);
    const recordAbroad = await books.record(abroad.companyId, write.key);
    const straying = await books.elsewhere(home.companyId, writeId);
    const unprotected = await books.unprotected();
    return [
      ...unless(!other.replayed, 'a key of one company is answered as a replay in another'),
      ...unless(
        recordAbroad !== undefined && recordAbroad.writeId !== writeId,
        'the same key in another company is no write of its own',
      ),
      ...unless(straying.length === 0, `rows of the write stand in another company: ${straying.join(', ')}`),
      ...unless(unprotected.length === 0, `no row-level security holds on ${unprotected.join(', ')}`),
      ...(await readAbroad(trial, mine, other)),
      ...(await sentAbroad(trial, theirs)),
      ...unlessAnswered(
        await http.send({
          method: 'GET',
          path: `/api/writes/${encodeURIComponent(await keyOfHome(trial))}`,
          token: abroad.token,
        }),
        ['404 write_not_found'],
        'the status of another company’s write',
      ),
    ];
  },
};

/** What stands at the same path for every company, such as its settings, is each one's own. */
async function readAbroad({ http, abroad }: Trial, mine: Answer, theirs: Answer): Promise<readonly string[]> {
  if (mine.location === undefined) return ['its answer has no Location'];
  if (mine.location === theirs.location) return [];
  const { status, text } = await http.send({ method: 'GET', path: mine.location, token: abroad.token });
  return unless(status === 404 || text === EMPTY_LIST, `another company reads it at its Location (${status})`);
}

/** The request of one company, sent by the other: where it names what is there, it is refused here. */
async function sentAbroad(trial: Trial, theirs: Write): Promise<readonly string[]> {
  const { http, home, abroad } = trial;
  const write = await trial.request(home);
  const counterpart = await trial.request(abroad, write.key);
  const namesWhatIsThere = write.path !== counterpart.path || write.body !== counterpart.body;
  return unlessUntouched(trial, home.companyId, 'the request of another company', async () => {
    const { status } = await settle(http, { ...write, token: theirs.token });
    return unless(!namesWhatIsThere || status >= 400, `another company may name what is not its own (${status})`);
  });
}

async function keyOfHome(trial: Trial): Promise<string> {
  const write = await trial.request(trial.home);
  await succeed(trial, write);
  return write.key;
}
