import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../../support/client.ts';
import { ownerUrlOf, runCommand } from '../../support/commands.ts';
import { type Acknowledged, pay, payInBothLanes } from '../../support/failover/acknowledged.ts';
import { toBaseBackup } from '../../support/failover/losses.ts';
import { type FailoverSystem, startFailoverSystem } from '../../support/failover/system.ts';
import { expectMissing, expectReplayed, untilTrust, verify } from '../../support/failover/telling.ts';
import { until } from '../../support/held-invoice.ts';
import { untilFinal } from '../../support/persistent.ts';
import { startApiProcess, startWorkerProcess } from '../../support/processes.ts';

const INVOICES = 4;

describe('once a loss has been verified', () => {
  let system: FailoverSystem;
  let invoiceId: string;
  let lost: Acknowledged[];
  let drafts: readonly string[];
  /** Given out before the loss. */
  const given = { numbers: [] as string[], cursor: 0n };

  beforeAll(async () => {
    system = await startFailoverSystem();
    const { company, servers } = system;
    invoiceId = await company.invoice();
    drafts = await Promise.all(Array.from({ length: 2 * INVOICES + 1 }, () => company.draftInvoice()));
    await untilTrust(system.url, 'trusted');
    const comeBack = await toBaseBackup(servers);
    lost = await payInBothLanes(system, invoiceId);
    // One alone, and three together.
    const [alone, ...together] = drafts.slice(0, INVOICES);
    const sent = [
      await finalize(alone),
      ...(await Promise.all(await system.groups.together(system.url, company, () => together.map(finalize)))),
    ];
    if (sent.some(({ status }) => status !== 200)) throw new Error(`Not finalized: ${JSON.stringify(sent)}`);
    given.numbers = sent.map(({ json }) => json.number);
    given.cursor = await untilAllHaveCursors();
    await servers.replaceBy(await comeBack());
    await untilTrust(system.url, 'replaced');
  });
  afterAll(() => system?.stop());

  const finalize = (id: string | undefined): Promise<Answer> =>
    system.company.api.post(`/api/invoices/${id}/finalize`, {}, { key: randomUUID() });

  test('the operator is told beforehand what is lost, by company, with amounts and numbers', async () => {
    const { code, stdout } = await verify(system.servers, '--dry-run', '--json');
    expect(code).toBe(0);
    const { companies } = JSON.parse(stdout);
    const amount = lost.reduce((sum, { body }) => sum + body.amount, 0);
    expect(companies).toMatchObject([
      {
        companyId: system.company.id,
        invoiceNumbers: INVOICES,
        numbers: { invoice: INVOICES, payment: lost.length },
        amounts: { USD: String(amount) },
      },
    ]);
    const keys = companies[0].writes.map(({ key }: { key: string }) => key);
    expect(keys).toEqual(expect.arrayContaining(lost.map(({ key }) => key)));
    const readable = await verify(system.servers, '--dry-run');
    expect(readable).toMatchObject({ code: 0, stdout: expect.stringContaining(`USD ${amount}`) });
    for (const { key } of lost) expect(readable.stdout).toContain(key);
    // It has changed nothing.
    await untilTrust(system.url, 'replaced');
    expect(await verify(system.servers, '--yes')).toMatchObject({ code: 0 });
    await untilTrust(system.url, 'trusted');
    expect(await verify(system.servers, '--yes')).toMatchObject({ code: 0 });
  });

  test('no invoice number is given a second time', async () => {
    // The same invoices, under other keys, and others.
    for (const id of drafts.slice(0, 2 * INVOICES)) {
      const { final } = await untilFinal(() => finalize(id));
      expect(final.status).toBe(200);
      expect(given.numbers).not.toContain(final.json.number);
      given.numbers.push(final.json.number);
    }
    await untilAllHaveCursors();
    expect(new Set(given.numbers).size).toBe(3 * INVOICES);
  });

  test('an event comes after all that were listed before the loss', async () => {
    const [latest] = (await system.company.api.get('/api/events?limit=1')).json.items;
    const { rows } = await system.owner.query('SELECT sequence::text FROM outbox WHERE id = $1', [latest.id]);
    expect(BigInt(rows[0].sequence)).toBeGreaterThan(given.cursor);
    const events = (await system.company.api.get(`/api/events?limit=${INVOICES}`)).json.items;
    expect(events.map(({ kind }: { kind: string }) => kind)).toEqual(Array(INVOICES).fill('invoice.finalized'));
  });

  test('a key that is reopened is made once, and no later restart marks it again', async () => {
    const { company, servers, url } = system;
    const [resent, reopened, cancelled, left] = lost as [Acknowledged, Acknowledged, Acknowledged, Acknowledged];
    for (const { key } of [resent, reopened]) expect(await reopen(key)).toMatchObject({ code: 0 });
    const again = await untilFinal(() => pay(company, url, resent));
    expect(again.final).toMatchObject({ status: 201, replayed: false });
    const cancel = await company.api.send('POST', `/api/writes/${cancelled.key}/cancel`);
    expect(cancel.status).toBe(200);

    await servers.primary.kill();
    await servers.primary.startAgain();
    await untilTrust(url, 'trusted');
    await expectReplayed(system, [{ ...resent, answer: again.final }]);
    await restartAll();
    await expectReplayed(system, [{ ...resent, answer: again.final }]);
    expectMissing(await pay(company, system.url, left));
    expect(await pay(company, system.url, cancelled)).toMatchObject({ status: 409 });
    const { final } = await untilFinal(() => pay(company, system.url, reopened));
    expect(final).toMatchObject({ status: 201, replayed: false });
  }, 400_000);

  /** No process survives: the runs of keys are compared with their rows, and those that were reopened have none. */
  async function restartAll(): Promise<void> {
    const { servers } = system;
    await system.killAll();
    await servers.primary.kill();
    await servers.primary.startAgain();
    const [api] = await Promise.all([system.another(startApiProcess), system.another(startWorkerProcess)]);
    system = { ...system, url: api.url };
    await untilTrust(api.url, 'trusted');
    const isListed = async () =>
      (await system.owner.query('SELECT FROM verification WHERE key_runs_listed')).rowCount === 1;
    await until('the comparison of the runs of keys', isListed);
    await untilTrust(api.url, 'trusted');
  }

  function reopen(key: string) {
    const { company, owner, servers } = system;
    const args = ['reopen', '--company', company.id, '--key', key, '--reason', 'the books do not have it', '--yes'];
    return runCommand('deploy/operator/write/main.ts', args, {
      DATABASE_URL: ownerUrlOf(owner),
      TEMPORAL_ADDRESS: servers.environment['TEMPORAL_ADDRESS'] ?? '',
    });
  }

  /** The relay numbers an event a moment after its write. Answers the last number. */
  async function untilAllHaveCursors(): Promise<bigint> {
    await until(
      'the relay',
      async () => (await system.owner.query('SELECT FROM outbox WHERE sequence IS NULL')).rowCount === 0,
    );
    const { rows } = await system.owner.query('SELECT max(sequence)::text AS last FROM outbox');
    return BigInt(rows[0].last);
  }
});
