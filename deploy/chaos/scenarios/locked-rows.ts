import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, inTurns, pause, underLoad } from '../load.ts';
import { countersOf, lockInvoices } from '../locks.ts';
import { mixedClients, payment, prepareBooks } from '../mix.ts';
import type { ChaosSent, Scenario, Stage, Trouble } from '../scenario.ts';
import { p95Of } from '../timeline.ts';

const CLIENTS_EACH = 4;
const PAUSE_MS = 100;
/** Longer than the processes wait for a lock (half of STATEMENT_TIMEOUT_MS), which is 5 s by default. */
const HELD_MS = 7_000;

export const transactionRollback: Scenario = {
  name: 'transaction-rollback',
  promise: 'A transaction that fails in the middle is rolled back and repeated: once made, never twice.',
  needs: ['database'],
  companies: 4,
  async run(stage) {
    const databaseUrl = databaseOf(stage);
    const books = await prepareBooks(stage, 2);
    const before = await countersOf(databaseUrl);
    // Of every other company: in the end all clients of a company wait for its row, and a silence would mean nothing.
    const held = books
      .filter((_, index) => index % 2 === 0)
      .map(({ tenant, invoiceIds: [invoiceId = ''] }) => ({ companyId: tenant.companyId, invoiceId }));
    const trouble = () => inTurns(stage, () => holding(stage, databaseUrl, held, HELD_MS));
    const ran = await underLoad(stage, mixedClients(stage, books, CLIENTS_EACH), { trouble, pauseMs: PAUSE_MS });
    const rollbacks = (await countersOf(databaseUrl)).rollbacks - before.rollbacks;
    return {
      ...ran,
      facts: { 'transactions rolled back': rollbacks },
      violations: rollbacks > 0 ? [] : ['no transaction was rolled back: nothing is proven'],
    };
  },
};

/** More than any process has connections. */
const STUCK_CLIENTS = 64;
/** Shorter than its clients wait for their answer. */
const LONGEST_STUCK_MS = 60_000;

export const poolExhaustion: Scenario = {
  name: 'pool-exhaustion',
  promise: 'A company whose row is locked, with more writes than there are connections, does not stop the others.',
  needs: ['database'],
  companies: 4,
  async run(stage) {
    const databaseUrl = databaseOf(stage);
    const [stuck, ...others] = await prepareBooks(stage, 2);
    if (stuck === undefined) throw new Error('Bug! No company');
    const [invoiceId = ''] = stuck.invoiceIds;
    let onLocked = () => {};
    const locked = new Promise<void>((resolve) => {
      onLocked = resolve;
    });
    const stuckClients = Array.from(
      { length: STUCK_CLIENTS },
      (_, client): Client =>
        async (_random, count) => {
          await locked;
          return [payment(stuck.tenant, invoiceId, `${stage.run}:stuck:${client}:${count}`)];
        },
    );
    const trouble = async () => {
      await pause(stage, (stage.seconds * 1_000) / 3);
      const held = [{ companyId: stuck.tenant.companyId, invoiceId }];
      const ms = Math.min(LONGEST_STUCK_MS, (stage.seconds * 1_000) / 3);
      const troubles = [await holding(stage, databaseUrl, held, ms, onLocked)];
      await pause(stage, (stage.seconds * 1_000) / 3);
      return troubles;
    };
    const clients = [...mixedClients(stage, others, CLIENTS_EACH), ...stuckClients];
    const ran = await underLoad(stage, clients, { trouble, pauseMs: PAUSE_MS });
    const ofOthers = ran.sent.filter(({ tenant }) => tenant !== stuck.tenant);
    return { ...ran, facts: besideTheStuck(ofOthers, ran.troubles[0]) };
  },
};

function besideTheStuck(sent: readonly ChaosSent[], trouble: Trouble | undefined): Record<string, string | number> {
  if (trouble === undefined) return {};
  const without = p95Of(sent.filter(({ beganAt }) => beganAt < trouble.beganAt));
  const beside = p95Of(sent.filter(({ beganAt }) => beganAt >= trouble.beganAt && beganAt < trouble.endedAt));
  return {
    'p95 of the other companies, without and with': `${without.toFixed(1)} and ${beside.toFixed(1)} ms`,
    'with ÷ without': (beside / without).toFixed(2),
    '5xx to the other companies': sent
      .flatMap(({ submitted }) => Object.entries(submitted.onTheWay))
      .reduce((sum, [label, times]) => (label.startsWith('5') ? sum + times : sum), 0),
  };
}

async function holding(
  { signal }: Stage,
  databaseUrl: string,
  held: Parameters<typeof lockInvoices>[1],
  ms: number,
  onLocked: () => void = () => undefined,
): Promise<Trouble> {
  const beganAt = performance.now();
  const lock = await lockInvoices(databaseUrl, held);
  try {
    onLocked();
    await sleep(ms, undefined, { signal });
  } finally {
    await lock.release();
  }
  return { beganAt, endedAt: performance.now() };
}

export function databaseOf({ target }: Stage): string {
  if (target.databaseUrl === undefined) throw new Error('Bug! A scenario without the database that it needs');
  return target.databaseUrl;
}
