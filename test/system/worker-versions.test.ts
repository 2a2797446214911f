import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { decodeVersioningBehavior } from '@temporalio/common/lib/worker-deployments.js';
import type { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workflowIdOf } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { ATTEMPT_POLICY } from '../../activities/write/attempt-policy.ts';
import { readApiConfig } from '../../api/config.ts';
import { createWriteRuns } from '../../api/submit/write-runs.ts';
import { describeDeployment } from '../../worker/current-release.ts';
import { TemporalUnavailable } from '../../worker/temporal-unavailable.ts';
import { pinnedToOwnRelease, untilReleaseIsKnown } from '../../worker/versioning.ts';
import { eventTaskQueue } from '../../workflows/event-messages.ts';
import { type GroupItem, type GroupResult, memoOf, WRITE_WORKFLOW_TYPE } from '../../workflows/messages.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { startWorkerProcess } from '../support/processes.ts';
import { compiled } from '../support/program.ts';
import { keyWorkflow, statusOf } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';
import { type Trouble, troubledCustomer } from '../support/troubled-customer.ts';
import { writeArguments } from '../support/write-arguments.ts';

/** Two releases on one queue: blue, the current one, and green, which knows one more member. */
describe('releases that name themselves to Temporal', () => {
  const deployment = `versions-${randomUUID().slice(0, 8)}`;
  const release = (buildId: string) => ({ WORKER_DEPLOYMENT_NAME: deployment, WORKER_BUILD_ID: buildId });
  const troubles = new Map<string, Trouble[]>();
  const greenOperation: Operation = {
    ...troubledCustomer(troubles),
    schemaVersion: createCustomer.schemaVersion + 1,
  };
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem({ environment: release('1.0.0'), operations: [createCustomer] });
    company = await system.company();
  });
  afterAll(() => system.stop());

  const green = () => system.another({ environment: release('1.1.0'), operations: [greenOperation] });
  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'customers', key });
  const once = { writes: 1, rows: 1, newAudit: 1, failedAudit: 0, events: 1 };
  const queue = () => system.environment['TEMPORAL_TASK_QUEUE'] ?? '';
  const pinnedTo = (buildId: string) => ({ versioningOverride: { pinnedTo: { deploymentName: deployment, buildId } } });
  const versionOf = async (key: string) => {
    const { raw } = await keyWorkflow(system.temporal, company, key).describe();
    return raw.workflowExecutionInfo?.versioningInfo?.versioningOverride?.pinned?.version?.buildId;
  };

  test('serve no one before Temporal knows them; a start before that is an outage and no error of ours', async () => {
    const config = readApiConfig({ ...system.environment, ...release('1.2.0') });
    const connection = system.temporal.connection as NativeConnection;
    const known = untilReleaseIsKnown(connection, config).then(() => 'known');
    const runs = createWriteRuns(system.temporal, { taskQueue: queue(), ...pinnedToOwnRelease(config) });
    const args = writeArguments(company, createCustomer, { name: 'Early' }, 'early');
    await expect(runs.start(args, 'early')).rejects.toThrow(TemporalUnavailable);
    expect(await Promise.race([known, new Promise((resolve) => setTimeout(resolve, 500, 'not yet'))])).toBe('not yet');
    const release12 = await system.another({ environment: release('1.2.0') });
    expect(await known).toBe('known');
    await release12.close();
  });

  test('have each write finished by the one whose API took it, current or not', async () => {
    const later = await green();
    const first = await company.api.post('/api/customers', { name: 'Blue' }, { key: 'blue' });
    const second = await company.as('owner', later.url).post('/api/customers', { name: 'Green' }, { key: 'green' });
    expect([first.status, first.replayed, second.status, second.replayed]).toEqual([201, false, 201, false]);
    expect([await versionOf('blue'), await versionOf('green')]).toEqual(['1.0.0', '1.1.0']);
    // Each replays what the other has made.
    const other = await company.api.post('/api/customers', { name: 'Green' }, { key: 'green' });
    expect([other.status, other.replayed, other.text]).toEqual([201, true, second.text]);
    await later.close();
    expect(await effects('green')).toMatchObject({ ...once, replayedAudit: 1 });
  });

  test('leave the open run of one whose processes are gone to those that come back', async () => {
    const args = { ...writeArguments(company, greenOperation, { name: 'Open' }, 'open'), policy: ATTEMPT_POLICY };
    const run = await system.temporal.workflow.start(WRITE_WORKFLOW_TYPE, {
      workflowId: workflowIdOf(company.id, 'open'),
      taskQueue: queue(),
      args: [args],
      memo: memoOf(args),
      ...pinnedTo('1.1.0'),
    });
    // A duplicate through blue waits for it, and its workers do not touch it.
    const waiting = await company.api.post(
      '/api/customers',
      { name: 'Open' },
      { key: 'open', headers: { prefer: 'wait=1' } },
    );
    expect(waiting.status).toBe(202);
    expect((await run.describe()).historyLength).toBe(2);
    const later = await green();
    await run.result();
    await later.close();
    expect(await effects('open')).toMatchObject(once);
  });

  test('take what leaves a group along', async () => {
    troubles.set('ungrouped', ['transient']);
    const later = await green();
    const args = {
      ...writeArguments(company, greenOperation, { name: 'ungrouped' }, 'ungrouped'),
      policy: ATTEMPT_POLICY,
    };
    const item: GroupItem = { args, workflowId: workflowIdOf(company.id, 'ungrouped'), summary: 'ungrouped' };
    const run = await system.temporal.workflow.start<(items: readonly GroupItem[]) => Promise<GroupResult>>(
      'writeGroup',
      {
        workflowId: `group:${randomUUID()}`,
        taskQueue: queue(),
        args: [[item]],
        ...pinnedTo('1.1.0'),
      },
    );
    expect((await run.result()).left).toEqual([{ index: 0, runId: expect.any(String) }]);
    await until('its end', async () => (await statusOf(system.temporal, company, 'ungrouped')) === 'COMPLETED');
    expect(await versionOf('ungrouped')).toBe('1.1.0');
    await later.close();
    expect(await effects('ungrouped')).toMatchObject(once);
  });

  test('are current as an operator says; the first makes itself so, and what no API starts goes there', async () => {
    const versions = async (...args: string[]) => {
      const command = [compiled('deploy/operator/temporal-versions.ts'), '--deployment', deployment, ...args];
      const { TEMPORAL_ADDRESS = '' } = system.environment;
      const { stdout } = await promisify(execFile)('node', command, { env: { ...process.env, TEMPORAL_ADDRESS } });
      return JSON.parse(stdout);
    };
    // Blue first: green's runs of the other tests have made it known, and it is current only by an operator's word.
    const blue = await startWorkerProcess({ ...system.environment, ...release('1.0.0') });
    const current = async () =>
      (await describeDeployment(system.temporal.connection as NativeConnection, 'default', deployment))?.current;
    await until('a current release', async () => (await current()) === '1.0.0');
    const greenWorker = await startWorkerProcess({ ...system.environment, ...release('1.1.0') });
    const runWebhooks = async () => {
      const run = await system.temporal.workflow.start('webhooks', {
        workflowId: `webhooks:${company.id}:${randomUUID()}`,
        taskQueue: eventTaskQueue(queue()),
        args: [{ companyId: company.id, batchId: randomUUID(), retry: { delaysMs: [], giveUpAfterMs: 0 } }],
      });
      await run.result();
      const { versioningInfo } = (await run.describe()).raw.workflowExecutionInfo ?? {};
      // It may wait for a day, and is not to keep its release's pods for so long.
      expect(decodeVersioningBehavior(versioningInfo?.behavior)).toBe('AUTO_UPGRADE');
      return versioningInfo?.deploymentVersion?.buildId;
    };
    expect(await runWebhooks()).toBe('1.0.0');
    expect(await versions('--set-current', '1.1.0')).toMatchObject({
      deployment,
      current: '1.1.0',
      releases: expect.arrayContaining([
        { buildId: '1.0.0', status: expect.stringMatching(/^drain(ing|ed)$/), openRuns: 0 },
        { buildId: '1.1.0', status: 'current', openRuns: 0 },
      ]),
    });
    await until('green to get them', async () => (await runWebhooks()) === '1.1.0');
    expect(await Promise.all([blue.terminate(), greenWorker.terminate()])).toEqual([0, 0]);
  });
});
