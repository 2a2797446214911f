/**
 * The baseline's process, started by the benchmark with an IPC channel. It measures what the same payment costs with bare
 * Temporal and with SQL alone. Connection, worker and load share one process, as they do in our API.
 */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import type pg from 'pg';
import { openPool } from '../../../activities/database.ts';
import { readWorkerConfig } from '../../../worker/config.ts';
import { connectTemporal } from '../../../worker/temporal.ts';
import { closedLoop, type Measured } from '../loops.ts';
import type { BaselineKind, MeasureOrder, MeasureReport, PaymentOrder, ReadyReport } from './messages.ts';
import { payByOperation, payBySql } from './payments.ts';

const TASK_QUEUE = 'baseline';
/** The same values as in worker/write-worker.ts. */
const WORKFLOW_TASK_SLOTS = 200;
const CACHED_WORKFLOWS = 200;
const WORKFLOW_TASK_POLLERS = 2;

const [, , companyId = ''] = process.argv;
process.on('disconnect', () => process.exit());

Runtime.install({ shutdownSignals: [], logger: new DefaultLogger('ERROR') });
const config = readWorkerConfig();
const { connections } = openPool({
  connectionString: config.DATABASE_URL,
  max: config.DATABASE_POOL_MAX,
  statementTimeoutMs: config.STATEMENT_TIMEOUT_MS,
  applicationName: 'accubooks-baseline',
});
const takeInvoice = await invoicesInTurn(connections);
const payers: Record<BaselineKind, (order: PaymentOrder) => Promise<string>> = {
  temporal: await payByWorkflow(),
  sql: payBySql(connections, companyId),
};
process.on('message', (order: MeasureOrder) => {
  measure(order).then(
    (measured) => report({ measured }),
    (error: unknown) => report({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
report({ ready: true });

function report(message: MeasureReport | ReadyReport): void {
  process.send?.(message);
}

async function measure({ kind, concurrency, ...window }: MeasureOrder): Promise<Measured> {
  const pay = payers[kind];
  const once = async () => {
    const invoice = takeInvoice();
    const order = { paymentId: randomUUID(), invoiceId: invoice.id };
    const paymentId = await pay(order).finally(() => invoice.release());
    return paymentId === order.paymentId;
  };
  return closedLoop(concurrency, once, { ...window, onEdge: (edge) => report({ edge }) });
}

/** Starts one eager workflow per payment and waits for its result. */
async function payByWorkflow() {
  const connection = await connectTemporal(config);
  const worker = await Worker.create({
    connection,
    namespace: config.TEMPORAL_NAMESPACE,
    taskQueue: TASK_QUEUE,
    workflowBundle: await bundleWorkflowCode({
      workflowsPath: fileURLToPath(new URL('workflow.ts', import.meta.url)),
      logger: new DefaultLogger('ERROR'),
    }),
    activities: { pay: payByOperation(connections, companyId) },
    maxConcurrentWorkflowTaskExecutions: WORKFLOW_TASK_SLOTS,
    maxConcurrentLocalActivityExecutions: WORKFLOW_TASK_SLOTS,
    maxCachedWorkflows: CACHED_WORKFLOWS,
    workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: WORKFLOW_TASK_POLLERS },
    enableNonLocalActivities: false,
  });
  worker.run().catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  });
  const { workflow } = new Client({ connection, namespace: config.TEMPORAL_NAMESPACE });
  return async (order: PaymentOrder) => {
    const handle = await workflow.start<(order: PaymentOrder) => Promise<string>>('pay', {
      workflowId: `baseline:${order.paymentId}`,
      taskQueue: TASK_QUEUE,
      args: [order],
      requestEagerStart: true,
    });
    return handle.result();
  };
}

/** Gives each payment in flight an invoice of its own, so that none waits for another's lock. */
async function invoicesInTurn(pool: pg.Pool): Promise<() => { id: string; release(): void }> {
  const { rows } = await pool.query<{ id: string }>(
    "SELECT id FROM invoices WHERE company_id = $1 AND status IN ('finalized', 'partially_paid') ORDER BY id",
    [companyId],
  );
  const free = rows.map(({ id }) => id);
  return () => {
    const id = free.shift();
    if (id === undefined) throw new Error('Bug! There are more payments in flight than invoices');
    return { id, release: () => void free.push(id) };
  };
}
