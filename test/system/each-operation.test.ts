import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { ROLES } from '../../activities/roles.ts';
import { READS } from '../../api/reads/read-list.ts';
import type { Write } from '../../deploy/client/src/submit-write.ts';
import { withOtherContent } from '../../deploy/contract/requests.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, countEverything } from '../support/effects.ts';
import { type Examples, openExamples, sendAs } from '../support/examples.ts';
import { steppedRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

/** Every operation there is, by the same steps: none is named here, and a new one is walked because it is in the list. */
let system: System;
let home: Company;
let abroad: Company;
let examples: Examples;
let relay: ReturnType<typeof steppedRelay>;
/** What the other company sees before anything happens in `home`; nothing ever happens in it. */
let seenAbroad: Readonly<Record<string, string>>;

beforeAll(async () => {
  system = await startSystem();
  [home, abroad] = [await system.company('Home Ltd'), await system.company('Abroad Ltd')];
  examples = await openExamples(system);
  relay = steppedRelay(system);
  seenAbroad = await everythingSeenAbroad();
});
afterAll(async () => {
  await relay.close();
  await examples.close();
  await system.stop();
});

describe.each(OPERATIONS)('$name', (operation) => {
  let write: Write;
  let first: Answer;

  test('its example succeeds, once', async () => {
    write = await examples.make(operation, home);
    first = await sendAs(home, 'owner', write);
    expect([first.status, first.replayed]).toEqual([operation.successStatus, false]);
    expect(first.headers.get('idempotency-key')).toBe(write.key);
    expect(await effectsOf(write.key)).toMatchObject({ writes: 1, newAudit: 1, events: 1, replayedAudit: 0 });
  });

  test('the same again is the same to the byte, says so, and does nothing', async () => {
    const before = await countEverything(system.owner, home.id);
    const again = await sendAs(home, 'owner', write);
    expect([again.status, again.text, again.replayed]).toEqual([first.status, first.text, true]);
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'));
    const { idempotent_write_audit_log: auditRows = 0, ...others } = before;
    expect(await countEverything(system.owner, home.id)).toEqual({
      ...others,
      idempotent_write_audit_log: auditRows + 1,
    });
    expect(await effectsOf(write.key)).toMatchObject({ newAudit: 1, replayedAudit: 1, events: 1 });
  });

  test('other content under its key is 422, naming exactly what differs, and the first answer stays', async () => {
    const other = withOtherContent(operation, write);
    const refused = await sendAs(home, 'owner', other);
    expect(refused).toMatchObject({ status: 422, replayed: false, json: { code: 'idempotency_key_reused' } });
    expect(refused.json.writeUrl).toBe(`/api/writes/${encodeURIComponent(write.key)}`);
    const said = refused.json.differences.map((one: { in: string; pointer: string }) => [one.in, one.pointer]);
    expect(said).toEqual(differencesOf(operation.path, write, other));
    expect(await effectsOf(write.key)).toMatchObject({ writes: 1, newAudit: 1, failedAudit: 1, events: 1 });
    expect((await sendAs(home, 'owner', write)).text).toBe(first.text);
  });

  test('who has no role for it is refused before anything starts, and nothing is stored', async () => {
    const fresh = await examples.make(operation, home);
    const before = await countEverything(system.owner, home.id);
    for (const role of ROLES.filter((one) => !operation.roles.includes(one))) {
      const refused = await sendAs(home, role, fresh);
      expect([role, refused.status, refused.json.code]).toEqual([role, 403, 'forbidden']);
      expect(refused.json).toMatchObject({
        retryable: false,
        nextAction: 'fix_request',
        requestId: expect.any(String),
      });
    }
    expect(await countEverything(system.owner, home.id)).toEqual(before);
    const run = system.temporal.workflow.getHandle(workflowIdOf(home.id, fresh.key)).describe();
    await expect(run).rejects.toMatchObject({ name: 'WorkflowNotFoundError' });
    // The key is as good as new.
    const taken = await sendAs(home, 'owner', fresh);
    expect([taken.status, taken.replayed]).toEqual([operation.successStatus, false]);
  });

  test('its write, its resource and its event are under no address of another company', async () => {
    await relay.runOnce({ registered: async () => {} });
    const { writeId, location } = (await home.api.get(`/api/writes/${encodeURIComponent(write.key)}`)).json;
    const events = (await home.api.get(`/api/events?kind=${operation.event}&limit=200`)).json.items;
    const [event, ...more] = events.filter((one: { writeId: string }) => one.writeId === writeId);
    expect([event?.kind, more]).toEqual([operation.event, []]);
    expect(location).toBe(first.headers.get('location'));

    for (const path of [`/api/writes/${encodeURIComponent(write.key)}`, `/api/events/${event.id}`]) {
      expect([path, (await home.api.get(path)).status]).toEqual([path, 200]);
      expect([path, (await abroad.api.get(path)).status]).toEqual([path, 404]);
    }
    const [there, here] = [await abroad.api.get(location), await home.api.get(location)];
    expect(here.status).toBe(200);
    // What stands at one address for every company is each one's own; of a list there is an empty one.
    const isTheirOwn = there.text === seenAbroad[location] || there.text === EMPTY_LIST;
    expect([location, isTheirOwn ? 404 : there.status]).toEqual([location, 404]);
    expect(there.text).not.toBe(here.text);
  });
});

test('nothing of all this is in a list or report of another company', async () => {
  expect(await everythingSeenAbroad()).toEqual(seenAbroad);
});

test('all of this leaves the controls holding', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});

const EMPTY_LIST = JSON.stringify({ items: [], nextCursor: null });

function effectsOf(key: string) {
  return countEffects(system.owner, { companyId: home.id, table: 'journal_entries', key });
}

/** Every list and report, as its owner gets it. */
async function everythingSeenAbroad(): Promise<Readonly<Record<string, string>>> {
  // Except the security log, which tells of these very reads.
  const reads = READS.filter(({ group }) => group !== 'security');
  const paths = [...reads.map(({ path }) => path.replace(':code', '1100')), '/api/writes'];
  const whole = paths.filter((path) => !path.includes(':'));
  return Object.fromEntries(
    await Promise.all(whole.map(async (path) => [path, (await abroad.api.get(path)).text] as const)),
  );
}

/** The leaves in which two requests of one operation differ, as `[in, pointer]`. */
function differencesOf(route: string, one: Write, other: Write): string[][] {
  const names = route.split('/');
  const others = other.path.split('/');
  const inPath = one.path.split('/').flatMap((part, index) => {
    return part === others[index] ? [] : [['path', `/${names[index]?.slice(1)}`]];
  });
  const [body, otherBody] = [leavesOf(JSON.parse(one.body)), leavesOf(JSON.parse(other.body))];
  const pointers = new Set([...body.keys(), ...otherBody.keys()]);
  const inBody = [...pointers].filter((pointer) => body.get(pointer) !== otherBody.get(pointer));
  return [...inPath, ...inBody.map((pointer) => ['body', pointer])];
}

function leavesOf(value: unknown, pointer = ''): Map<string, unknown> {
  if (typeof value !== 'object' || value === null) return new Map([[pointer, value]]);
  return new Map(Object.entries(value).flatMap(([name, item]) => [...leavesOf(item, `${pointer}/${name}`)]));
}
