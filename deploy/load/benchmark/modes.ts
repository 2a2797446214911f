import { inParallel } from '../../cli/in-parallel.ts';
import type { Answer } from '../../client/src/http.ts';
import { closedLoop, type Measured, openLoop, rounds, type Window } from '../loops.ts';
import type { Rig } from './rig.ts';

export const MODES = ['new', 'replay', 'storm', 'burst'] as const;
export type Mode = (typeof MODES)[number];

export type Load = {
  readonly mode: Mode;
  readonly concurrency: number;
  /** Requests per second of an open loop; without it, each client sends after its answer. */
  readonly rate: number | undefined;
};

/** The number of completed keys that are replayed in turn. */
const REPLAYED_KEYS = 500;
const COMPLETE_CONCURRENCY = 32;

/** Sends the load and measures complete answers, with the rigs in turn; a rig records what is wrong with an answer. */
export async function sendLoad(load: Load, rigs: readonly Rig[], window: Window): Promise<Measured> {
  const nextRig = inTurn(rigs);
  switch (load.mode) {
    case 'new':
      return loop(load, () => payOnce(nextRig()), window);
    case 'replay':
      return loop(load, await replays(nextRig), window);
    case 'storm':
      return rounds(() => storm(load.concurrency, nextRig()), window);
    case 'burst':
      return rounds(() => burst(load.concurrency, nextRig), window);
  }
}

function loop({ rate, concurrency }: Load, once: () => Promise<boolean>, window: Window): Promise<Measured> {
  return rate === undefined ? closedLoop(concurrency, once, window) : openLoop(rate, once, window);
}

/** Pays an invoice that no other payment in flight uses. */
export async function payOnce(rig: Rig): Promise<boolean> {
  const invoice = await rig.borrowInvoice();
  const answer = await rig.pay(rig.newKey(), invoice.id);
  invoice.giveBack();
  if (answer?.replayed) rig.violate('a key that was never sent before was answered as a replay');
  return answer?.status === 201;
}

/** Makes payments first and then repeats them: each must get the same bytes with the replay marker. */
async function replays(nextRig: () => Rig): Promise<() => Promise<boolean>> {
  const completed = await inParallel(COMPLETE_CONCURRENCY, Array.from({ length: REPLAYED_KEYS }), async () => {
    const rig = nextRig();
    const invoice = await rig.borrowInvoice();
    const key = rig.newKey();
    const first = await rig.pay(key, invoice.id);
    invoice.giveBack();
    if (first?.status !== 201) throw new Error(`A payment to be replayed was answered ${first?.status} ${first?.text}`);
    return { rig, key, invoiceId: invoice.id, text: first.text };
  });
  const next = inTurn(completed);
  return async () => {
    const { rig, key, invoiceId, text } = next();
    const answer = await rig.pay(key, invoiceId);
    if (answer?.status !== 201) return false;
    if (!answer.replayed || answer.text !== text) rig.violate('a replay has other bytes or no marker');
    return true;
  };
}

/** Identical requests at once: one write with equal answers, of which at most one is not a replay. */
async function storm(requests: number, rig: Rig): Promise<number[]> {
  const invoice = await rig.borrowInvoice();
  const key = rig.newKey();
  const answers = await atOnce(requests, () => rig.pay(key, invoice.id));
  invoice.giveBack();
  const successes = answers.filter(({ answer }) => answer?.status === 201);
  if (new Set(successes.map(({ answer }) => answer?.text)).size > 1)
    rig.violate('identical requests got different bytes');
  if (successes.filter(({ answer }) => !answer?.replayed).length > 1)
    rig.violate('one key got two answers without the replay marker');
  return successes.map(({ latencyMs }) => latencyMs);
}

/** Distinct writes at once. */
async function burst(requests: number, nextRig: () => Rig): Promise<number[]> {
  const answers = await atOnce(requests, async () => {
    const rig = nextRig();
    const invoice = await rig.borrowInvoice();
    return rig.pay(rig.newKey(), invoice.id).finally(() => invoice.giveBack());
  });
  return answers.filter(({ answer }) => answer?.status === 201).map(({ latencyMs }) => latencyMs);
}

function atOnce(requests: number, send: () => Promise<Answer | undefined>) {
  const startedAt = performance.now();
  return Promise.all(
    Array.from({ length: requests }, async () => {
      const answer = await send();
      return { answer, latencyMs: performance.now() - startedAt };
    }),
  );
}

export function inTurn<T>(items: readonly T[]): () => T {
  let turn = 0;
  return () => items[turn++ % items.length] as T;
}
