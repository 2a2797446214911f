import { expect, onTestFinished, test } from 'vitest';
import { ownerUrlOf, startCommand } from '../../support/commands.ts';
import { startCommitProxy } from '../../support/commit-proxy.ts';
import { payInBothLanes } from '../../support/failover/acknowledged.ts';
import { startPlainly, takeBaseBackup } from '../../support/failover/base-backup.ts';
import { type FailoverSystem, startFailoverSystem } from '../../support/failover/system.ts';
import { expectGone, expectReplayed, expectTold, untilTrust, verify } from '../../support/failover/telling.ts';
import { startApiProcess } from '../../support/processes.ts';

test('a verification that is killed before its COMMIT, another one, and then the same backup again', async () => {
  const system = await start();
  const { servers } = system;
  const invoiceId = await system.company.invoice();
  const kept = await payInBothLanes(system, invoiceId);
  const backup = await takeBaseBackup(servers.clusters, servers.primary);
  const lost = await payInBothLanes(system, invoiceId);
  await servers.primary.kill();
  await servers.replaceBy(await startPlainly(servers.clusters, backup));
  await expectGone(system, lost);
  await untilTrust(system.url, 'replaced');

  await killAtCommit(system);
  await untilTrust(system.url, 'replaced');
  await expectGone(system, lost);
  const [first, second] = await Promise.all([verify(servers, '--yes'), verify(servers, '--yes')]);
  expect([first.code, second.code]).toContain(0);
  await untilTrust(system.url, 'trusted');
  // With one audit row each.
  await expectTold(system, { lost, kept });

  lost.push(...(await payInBothLanes(system, invoiceId)));
  await servers.primary.kill();
  await servers.replaceBy(await startPlainly(servers.clusters, backup));
  await expectGone(system, lost);
  await untilTrust(system.url, 'replaced');
  expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
  await untilTrust(system.url, 'trusted');
  await expectTold(system, { lost, kept });
}, 400_000);

test('a process that is killed before its COMMIT of a reconciliation: another one opens', async () => {
  const system = await start({ worker: false });
  const { servers, api } = system;
  const invoiceId = await system.company.invoice();
  const proxy = await startCommitProxy(servers.environment['DATABASE_URL'] ?? '');
  onTestFinished(() => proxy.close());
  const victim = await system.another(startApiProcess, { DATABASE_URL: proxy.url });
  await untilTrust(victim.url, 'trusted');
  const kept = await payInBothLanes(system, invoiceId);
  api.freeze();
  const atCommit = proxy.atNextCommit('hold the commit', 'continue_verification');
  await servers.primary.kill();
  await servers.primary.startAgain();
  await atCommit;
  await victim.kill();
  api.thaw();
  await untilTrust(system.url, 'trusted', 60_000);
  await expectReplayed(system, kept);
  const { rows } = await system.owner.query("SELECT count(*)::int AS n FROM idempotent_writes WHERE outcome = 'lost'");
  expect(rows[0].n).toBe(0);
});

test('PostgreSQL is killed again and again while its processes reconcile: it opens by itself', async () => {
  const system = await start();
  const invoiceId = await system.company.invoice();
  const kept = await payInBothLanes(system, invoiceId);
  for (let crash = 1; crash <= 6; crash += 1) {
    await system.servers.primary.kill();
    await system.servers.primary.startAgain();
    await new Promise((resolve) => setTimeout(resolve, crash * 300));
  }
  await untilTrust(system.url, 'trusted', 60_000);
  await expectReplayed(system, kept);
  await payInBothLanes(system, invoiceId);
});

async function start(options?: { readonly worker: boolean }): Promise<FailoverSystem> {
  const system = await startFailoverSystem(options);
  onTestFinished(system.stop);
  await untilTrust(system.url, 'trusted');
  return system;
}

/** An operator's command that ends in the middle of its transaction. */
async function killAtCommit({ owner, servers }: FailoverSystem): Promise<void> {
  const proxy = await startCommitProxy(ownerUrlOf(owner));
  const atCommit = proxy.atNextCommit('hold the commit', 'UPDATE verification');
  const command = startCommand(
    'deploy/operator/write/main.ts',
    ['verify', '--yes', '--reason', 'a restore of a test'],
    {
      DATABASE_URL: proxy.url,
      TEMPORAL_ADDRESS: servers.environment['TEMPORAL_ADDRESS'] ?? '',
    },
  );
  await atCommit;
  command.kill('SIGKILL');
  await proxy.close();
}
