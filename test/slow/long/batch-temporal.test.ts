import { expect, onTestFinished, test } from 'vitest';
import { batchStory } from '../../support/batch-story.ts';
import { batchClient } from '../../support/batches.ts';
import { startFailoverSystem } from '../../support/failover/system.ts';
import { until } from '../../support/held-invoice.ts';

const LIMIT_MS = 600_000;
const ROWS = 1_500;

test.each(['is empty', 'is as it was when the batch had begun'])(
  'where Temporal %s, a batch in its middle completes by itself, each row once',
  async (what) => {
    const system = await startFailoverSystem();
    onTestFinished(system.stop);
    const { company, owner, url, servers } = system;
    const story = await batchStory(owner, company, ROWS, url);
    const api = batchClient({ url }, company);
    const written = async () => {
      const { rows } = await owner.query('SELECT count(*)::int AS n FROM payments WHERE company_id = $1', [company.id]);
      return rows[0].n as number;
    };
    const before = await written();
    await api.send(story.file, { key: 'file', operation: 'createPayment' });
    await until('some rows to be written', async () => (await written()) > before);
    // The server is away for the copy, too.
    const copy = what === 'is empty' ? undefined : await servers.temporal.copy();
    await until('more rows to be written', async () => (await written()) > before + ROWS / 3);
    await servers.temporal.comeBackWith(copy);
    await until(
      'the batch to be completed',
      async () => (await api.status('file')).json.state === 'completed',
      300_000,
    );
    expect(await story.expectTold(await api.over('file'), url)).toEqual({ doubled: 0, lost: 0 });
  },
  LIMIT_MS,
);
