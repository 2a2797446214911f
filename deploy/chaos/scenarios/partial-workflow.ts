import { setTimeout as sleep } from 'node:timers/promises';
import type { Client as TemporalClient } from '@temporalio/client';
import { createClient } from '../../../worker/client.ts';
import { GROUP_WORKFLOW_TYPE, WRITE_WORKFLOW_TYPE } from '../../../workflows/messages.ts';
import { temporalTarget } from '../../cli/config.ts';
import { connectTarget } from '../../operator/setup-temporal.ts';
import { createRandom, type Random, seededNumbers } from '../../simulate/requests/random.ts';
import { pause, underLoad } from '../load.ts';
import { lockInvoices } from '../locks.ts';
import { type Books, mixedClients, prepareBooks } from '../mix.ts';
import type { Scenario, Stage, Trouble } from '../scenario.ts';
import { databaseOf } from './locked-rows.ts';

const CLIENTS_EACH = 4;
const PAUSE_MS = 100;
/** Temporal lists an open run only after a moment, so rows are held that long to keep runs open. */
const HELD_MS = 1_500;
const BETWEEN_MS = 1_000;
const AT_ONCE = 50;

export const partialWorkflow: Scenario = {
  name: 'partial-workflow',
  promise:
    'A write whose workflow is terminated or cancelled in the middle is made by the next request with its key, once.',
  needs: ['database', 'temporal'],
  companies: 4,
  async run(stage) {
    const books = await prepareBooks(stage, 2);
    const target = temporalTarget();
    const connection = await connectTarget(target);
    const client = createClient(connection, target);
    try {
      const ended = { terminated: 0, cancelled: 0 };
      const ran = await underLoad(stage, mixedClients(stage, books, CLIENTS_EACH), {
        pauseMs: PAUSE_MS,
        async trouble() {
          await pause(stage, (stage.seconds * 1_000) / 4);
          const trouble = await endRuns(stage, books, { client, taskQueue: target.TEMPORAL_TASK_QUEUE, ended });
          await pause(stage, (stage.seconds * 1_000) / 4);
          return [trouble];
        },
      });
      return {
        ...ran,
        facts: ended,
        violations: ended.terminated + ended.cancelled > 0 ? [] : ['no open run was ended: nothing is proven'],
      };
    } finally {
      await connection.close();
    }
  },
};

type Ending = {
  readonly client: TemporalClient;
  readonly taskQueue: string;
  readonly ended: { terminated: number; cancelled: number };
};

async function endRuns(stage: Stage, books: readonly Books[], ending: Ending): Promise<Trouble> {
  const beganAt = performance.now();
  const random = createRandom(seededNumbers(`${stage.seed}:runs`), 0);
  const held = books.flatMap(({ tenant, invoiceIds }) =>
    invoiceIds.map((invoiceId) => ({ companyId: tenant.companyId, invoiceId })),
  );
  while (performance.now() < beganAt + (stage.seconds * 1_000) / 2) {
    const lock = await lockInvoices(databaseOf(stage), held);
    try {
      await sleep(HELD_MS, undefined, { signal: stage.signal });
      await endSome(ending, random);
    } finally {
      await lock.release();
    }
    await sleep(BETWEEN_MS, undefined, { signal: stage.signal });
  }
  return { beganAt, endedAt: performance.now() };
}

/** Half of the open runs, at random; one that has just closed is none of them. */
async function endSome({ client, taskQueue, ended }: Ending, random: Random): Promise<void> {
  const types = `WorkflowType IN ('${WRITE_WORKFLOW_TYPE}', '${GROUP_WORKFLOW_TYPE}')`;
  const query = `${types} AND TaskQueue = '${taskQueue}' AND ExecutionStatus = 'Running'`;
  let seen = 0;
  for await (const { workflowId, runId } of client.workflow.list({ query, pageSize: AT_ONCE })) {
    seen += 1;
    if (seen > AT_ONCE) return;
    const fate = random.pick(['terminated', 'cancelled', 'spared', 'spared'] as const);
    if (fate === 'spared') continue;
    const handle = client.workflow.getHandle(workflowId, runId);
    const asked = fate === 'terminated' ? handle.terminate('chaos') : handle.cancel();
    await asked.then(() => (ended[fate] += 1)).catch(() => undefined);
  }
}
