import { setTimeout as sleep } from 'node:timers/promises';
import { inParallel } from '../../../cli/in-parallel.ts';
import { verdictOf } from '../../../client/src/answers.ts';
import type { Http } from '../../../client/src/http.ts';
import { repeatUntilFinal } from '../../../client/src/repeat.ts';
import type { Write } from '../../../client/src/submit-write.ts';
import { paymentOf, type Rig } from '../../benchmark/rig.ts';
import { closedLoop } from '../../loops.ts';
import type { RunningContender } from '../contenders/contender.ts';

export type Kills = {
  readonly kills: number;
  /** Keys whose client gave up without a final answer. */
  readonly unanswered: number;
  /** From the first request with a key to its final answer, the client's growing pauses included. */
  readonly slowestMs: number;
};

export const KILL_CLIENTS = 32;
const KILLS = 3;
/** Longer than each engine takes to give up a process that is gone. */
const GIVE_UP_AFTER_MS = 120_000;
/** What an engine still repeats after the last answer must have happened before the database is read. */
const LATE_REPETITIONS_MS = 3_000;
/** Keys that are sent once more at the end, those that met a kill first. */
const SENT_AGAIN = 500;

/** Kills the process under clients that repeat each key until it has a final answer; then sends keys once more. */
export async function payThroughKills(
  contender: RunningContender,
  { http, rig }: { readonly http: Http; readonly rig: Rig },
  options: { readonly betweenKillsMs: number; readonly signal: AbortSignal; log(line: string): void },
): Promise<Kills> {
  const { betweenKillsMs, signal, log } = options;
  const repeated: Write[] = [];
  const undisturbed: Write[] = [];
  let unanswered = 0;
  const once = async () => {
    const invoice = await rig.borrowInvoice();
    const body = paymentOf(invoice.id);
    const write = { method: 'POST', path: '/api/payments', token: contender.token, key: rig.newKey(), body } as const;
    const { final, requests } = await repeat(http, write);
    invoice.giveBack();
    if (final === undefined) unanswered += 1;
    (requests > 1 ? repeated : undisturbed).push(write);
    return final?.status === 201;
  };
  const over = new AbortController();
  const window = { warmUpMs: 0, measureMs: GIVE_UP_AFTER_MS, signal: AbortSignal.any([over.signal, signal]) };
  const load = closedLoop(KILL_CLIENTS, once, window);
  try {
    for (let kill = 1; kill <= KILLS; kill += 1) {
      await sleep(betweenKillsMs, undefined, { signal });
      log(`kill ${kill} of ${KILLS}`);
      await contender.crash();
    }
    await sleep(betweenKillsMs, undefined, { signal });
  } finally {
    over.abort();
    await load;
  }
  await sleep(LATE_REPETITIONS_MS, undefined, { signal });
  const again = [...repeated, ...undisturbed].slice(0, SENT_AGAIN);
  await inParallel(KILL_CLIENTS, again, (write) => repeat(http, write));
  const { latenciesMs } = await load;
  return { kills: KILLS, unanswered, slowestMs: latenciesMs.reduce((most, ms) => Math.max(most, ms), 0) };
}

/** As our client does, but for the key: only our API repeats it in its answers. */
function repeat(http: Http, write: Write) {
  return repeatUntilFinal(http, write, { deadlineMs: GIVE_UP_AFTER_MS }, { verdictOf: (answer) => verdictOf(answer) });
}
