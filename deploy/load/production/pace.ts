import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Latencies, summarize } from '../../cli/latencies.ts';
import type { Progress } from '../../cli/progress.ts';
import { labelOf } from '../../client/src/answers.ts';
import type { Http } from '../../client/src/http.ts';
import { count } from '../../client/src/repeat.ts';

export type Paced = {
  readonly sent: number;
  readonly perSecond: number;
  /** Answers other than a success. */
  readonly failed: number;
  readonly answers: Readonly<Record<string, number>>;
  readonly latencies: Latencies;
};

const SECOND_MS = 1_000;

/**
 * An open loop: sends each write at its time, whether or not the one before is answered, so that a slow period is not hidden
 * by sending less during it. Each write is sent once; answers that a client would retry are counted as they are.
 */
export async function paceWrites(
  http: Http,
  { token, seconds, rate, progress }: { token: string; seconds: number; rate: number; progress: Progress },
): Promise<Paced> {
  const run = randomUUID().slice(0, 8);
  const answers: Record<string, number> = {};
  const latenciesMs: number[] = [];
  const startedAt = performance.now();
  const sending: Promise<void>[] = [];
  let failed = 0;
  for (let index = 0; index < seconds * rate; index += 1) {
    const due = startedAt + (index * SECOND_MS) / rate;
    if (due > performance.now()) await sleep(due - performance.now());
    sending.push(send(index, due));
    progress.update(`${index + 1} of ${seconds * rate} sent`);
  }
  await Promise.all(sending);
  progress.done(`${sending.length} sent`);
  const elapsedS = (performance.now() - startedAt) / SECOND_MS;
  return {
    sent: sending.length,
    perSecond: sending.length / elapsedS,
    failed,
    answers,
    latencies: summarize(latenciesMs),
  };

  /** Measures from the due time, so that waiting for a connection counts. */
  async function send(index: number, due: number): Promise<void> {
    const key = `benchmark-${run}-${index}`;
    const body = JSON.stringify({ name: 'Benchmark', externalReference: key });
    const answer = await http.send({ method: 'POST', path: '/api/customers', token, key, body }).catch(() => undefined);
    latenciesMs.push(performance.now() - due);
    count(answers, answer === undefined ? 'no answer' : labelOf(answer));
    if (answer?.status !== 201) failed += 1;
  }
}
