import { inParallel } from '../cli/in-parallel.ts';
import { openPooledHttp } from '../cli/pooled-http.ts';
import type { Progress } from '../cli/progress.ts';
import { problemOf, verdictOf } from '../client/src/answers.ts';
import { type Answer, type Http, segment } from '../client/src/http.ts';
import { repeatUntilFinal } from '../client/src/repeat.ts';
import { type Submitted, submitWrite } from '../client/src/submit-write.ts';
import type { Actor } from './requests/books.ts';
import { isDecision, type Step } from './step.ts';

/** Tokens of the people of one company. */
export type Tokens = Readonly<Partial<Record<Actor, string>>>;

export type Outcome = Submitted & { readonly step: Step };

/** Processes may be killed and started again several times meanwhile. */
const GIVE_UP_AFTER_MS = 300_000;

/** Sends the plan in its order, `concurrency` at a time; each step when those before it that it rests on are answered. */
export async function runPlan(
  url: string,
  steps: readonly Step[],
  people: readonly Tokens[],
  options: { readonly concurrency: number; readonly progress: Progress },
): Promise<readonly Outcome[]> {
  const http = openPooledHttp(url, { connections: options.concurrency });
  const answered = new Map<number, Promise<Outcome>>();
  let done = 0;
  try {
    // What a step waits for has been begun: `after` names only steps that come before it.
    return await inParallel(options.concurrency, steps, async (step, index) => {
      const before = step.after.flatMap((number) => answered.get(number) ?? []);
      const outcome = Promise.all(before).then(() => send(http, step, people));
      answered.set(index, outcome);
      const ended = await outcome;
      done += 1;
      options.progress.update(`answered ${done} of ${steps.length}`);
      return ended;
    });
  } finally {
    options.progress.done(`answered ${done} of ${steps.length}`);
    await http.close();
  }
}

async function send(http: Http, step: Step, people: readonly Tokens[]): Promise<Outcome> {
  const token = people[step.company]?.[step.as] ?? '';
  if (step.kind === 'cancel' || isDecision(step)) return { step, ...(await actOn(http, step, token)) };
  const write = {
    method: step.operation.method,
    path: step.path,
    token,
    key: step.key,
    body: JSON.stringify(step.body),
    ...(step.prefer && { prefer: step.prefer }),
  };
  const options = { deadlineMs: GIVE_UP_AFTER_MS, waitsForApproval: step.ends };
  return { step, ...(await submitWrite(http, write, options)) };
}

/** Cancelling and deciding need no key of their own: sent again, they are answered as before. */
function actOn(http: Http, step: Step, token: string): Promise<Submitted> {
  const { key, kind, body } = step;
  const path = `/api/writes/${segment(key)}/${kind}`;
  const request = { method: 'POST', path, token, ...(isDecision(step) && { body: JSON.stringify(body) }) } as const;
  // The write has been answered: where its key is not told of now, it will not be later.
  const isUntold = (answer: Answer) => isDecision(step) && problemOf(answer)?.code === 'write_not_found';
  const verdict = (answer: Answer) => (isUntold(answer) ? 'final' : verdictOf(answer));
  return repeatUntilFinal(http, request, { deadlineMs: GIVE_UP_AFTER_MS }, { verdictOf: verdict });
}
