import { isAtSamePath } from '../../cli/same-path.ts';
import type { Answer } from '../../client/src/http.ts';
import type { Write } from '../../client/src/submit-write.ts';
import { type Rule, settle, succeed, type Trial, unless, unlessAnswered, unlessUntouched } from '../rule.ts';
import { expectedWriteId } from '../uuid.ts';

const EMPTY_LIST = JSON.stringify({ items: [], nextCursor: null });

/** One key in two companies is two writes; neither company can read, reference or change the other's resources. */
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
      ...unless(!other.replayed, 'a key of one company was answered as a replay in another'),
      ...unless(
        recordAbroad !== undefined && recordAbroad.writeId !== writeId,
        'the same key in another company is not a write of its own',
      ),
      ...unless(straying.length === 0, `another company has rows of the write: ${straying.join(', ')}`),
      ...unless(unprotected.length === 0, `no forced row-level security on ${unprotected.join(', ')}`),
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

/** A path that is the same for every company, such as that of its settings, shows each company its own resource. */
async function readAbroad(
  { http, abroad, operation }: Trial,
  mine: Answer,
  theirs: Answer,
): Promise<readonly string[]> {
  if (mine.location === undefined) return ['its answer has no Location'];
  if (mine.location === theirs.location || isAtSamePath(operation)) return [];
  const { status, text } = await http.send({ method: 'GET', path: mine.location, token: abroad.token });
  return unless(status === 404 || text === EMPTY_LIST, `another company can read it at its Location (${status})`);
}

/** Sends a request of one company as the other: if it refers to the first company's resources, it must be refused. */
async function sentAbroad(trial: Trial, theirs: Write): Promise<readonly string[]> {
  const { http, home, abroad } = trial;
  const write = await trial.request(home);
  const counterpart = await trial.request(abroad, write.key);
  const refersToResources = write.path !== counterpart.path || write.body !== counterpart.body;
  return unlessUntouched(trial, home.companyId, 'the request of another company', async () => {
    const { status } = await settle(http, { ...write, token: theirs.token });
    return unless(
      !refersToResources || status >= 400,
      `another company can reference resources that are not its own (${status})`,
    );
  });
}

async function keyOfHome(trial: Trial): Promise<string> {
  const write = await trial.request(trial.home);
  await succeed(trial, write);
  return write.key;
}
