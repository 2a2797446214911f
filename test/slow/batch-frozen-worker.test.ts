import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { CrashPoint } from '../../activities/crash-points.ts';
import { batchStory } from '../support/batch-story.ts';
import { batchClient } from '../support/batches.ts';
import { freezeAt } from '../support/failover/freeze-at.ts';
import { inForm } from '../support/form.ts';
import { until } from '../support/held-invoice.ts';
import { startWorkerProcess } from '../support/processes.ts';
import { type System, startSystem } from '../support/system.ts';

const LIMIT_MS = 600_000;
const ROWS = 620;

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

test.each(
  inForm<readonly CrashPoint[]>({
    short: ['chunk: outcomes found'],
    long: ['chunk: claimed', 'chunk: group started', 'set: before COMMIT', 'chunk: outcomes found'],
  }),
)(
  'a worker process that stands still at "%s", while another one ends the batch, changes nothing when it goes on',
  async (point) => {
    const environment = {
      ...system.environment,
      TEMPORAL_TASK_QUEUE: `${system.environment['TEMPORAL_TASK_QUEUE']}-${point.replaceAll(/\W+/g, '-')}`,
    };
    const { url } = await system.another({ environment });
    const company = await system.company();
    const story = await batchStory(system.owner, company, ROWS, url);
    const api = batchClient({ url }, company);
    const frozen = await startWorkerProcess({ ...environment, ...freezeAt(point) });
    onTestFinished(() => frozen.kill());
    await api.send(story.file, { key: 'file', operation: 'createPayment' });
    const other = await startWorkerProcess(environment);
    onTestFinished(() => other.kill());
    await until(
      'the batch to be completed',
      async () => (await api.status('file')).json.state === 'completed',
      300_000,
    );
    await story.expectTold(await api.over('file'), url);
    frozen.thaw();
    // It goes on with what it had begun, and says so.
    await until('the frozen one to notice', async () =>
      frozen.logs.some(({ msg }) => String(msg).includes('A chunk of a batch could not be written')),
    );
    expect(await story.expectTold(await api.over('file'), url)).toEqual({ doubled: 0, lost: 0 });
  },
  LIMIT_MS,
);
