import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { fingerprint, workflowIdOf } from '../../activities/identity.ts';
import { parseInput } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import type { WireInput } from '../../workflows/messages.ts';
import type { Answer } from './client.ts';
import type { Company } from './companies.ts';
import type { Groups } from './groups.ts';
import type { System } from './system.ts';
import type { Trouble } from './troubled-customer.ts';

/** What may be sent under one key: two bodies that succeed, and one that is refused for what it asks. */
export type Body = 'good' | 'other' | 'rejected';
const PREFERENCES = ['wait=5', 'wait=5', 'wait=5', 'wait=1', 'wait=0', 'respond-async'] as const;
export type Preference = (typeof PREFERENCES)[number];

/** What is known of a key from what was done to it alone: it says which answers are possible. */
export type KeyModel = {
  readonly bodies: Set<Body>;
  readonly troubles: Set<Trouble>;
  cancelled: boolean;
  /** Its own run, or any group, was ended by an operator: an outcome may be unknown for a while. */
  ended: boolean;
};

export type SubmitModel = {
  readonly keys: Map<string, KeyModel>;
  linkWasFrozen: boolean;
  /** Where the numbers of keys begin now: it moves on, so that there are always fresh ones beside those that are done. */
  firstNumber: number;
};

export type Asked = { readonly key: string; readonly body: Body; readonly prefer: Preference; readonly answer: Answer };

/** One run over the real system, whose clients do not wait for one another. */
export type SubmitRun = {
  readonly system: System;
  readonly company: Company;
  /** The first one's link to Temporal can be frozen. */
  readonly urls: readonly [string, string];
  readonly groups: Groups;
  /** In front of all keys of this run. */
  readonly name: string;
  readonly troubles: Map<string, Trouble[]>;
  readonly asked: Promise<Asked>[];
  readonly cancelled: Promise<{ readonly key: string; readonly answer: Answer }>[];
  /** Answered 202, and what Temporal had of it was no run at all, or another body's. */
  readonly unfounded: { readonly key: string; readonly found: 'no run' | 'another body' }[];
};

type Command = fc.AsyncCommand<SubmitModel, SubmitRun>;

/** The commands, each as often as it stands in the list. */
export const submitCommands = (maxCommands: number) =>
  fc.commands(
    [
      arrive,
      arrive,
      wave,
      wave,
      wave,
      trouble,
      trouble,
      cancel,
      fc.nat({ max: 60 }).map((ms) => command(`pause ${ms} ms`, () => sleep(ms))),
      fc.constant(command('freeze the link', async (model, run) => freeze(model, run))),
      fc.constant(command('open the link', async (_model, { groups }) => groups.open())),
      keyNumber.map((number) => command(`end the run of ${number}`, endRun(number))),
      fc.constant(command('end all groups', endGroups)),
    ],
    { maxCommands, size: 'max' },
  );

/** Few at a time, so that requests meet. */
const keyNumber = fc.nat({ max: 7 });
const FRESH_AFTER_A_WAVE = 3;
const processNumber = fc.constantFrom(0 as const, 0 as const, 1 as const);

type Request = {
  readonly number: number;
  readonly body: Body;
  readonly prefer: Preference;
  readonly process: 0 | 1;
};

const request: fc.Arbitrary<Request> = fc.record({
  number: keyNumber,
  body: fc.constantFrom<Body>('good', 'good', 'good', 'good', 'other', 'rejected'),
  prefer: fc.constantFrom(...PREFERENCES),
  process: processNumber,
});

const arrive = request.map((sent) => command(textOf(sent), async (model, run) => send(model, run, sent)));

/** What arrives while no start gets through leaves together. */
const wave = fc
  .record({ sent: fc.array(request, { minLength: 4, maxLength: 10 }), pauseMs: fc.integer({ min: 10, max: 80 }) })
  .map(({ sent, pauseMs }) =>
    command(`[${sent.map(textOf).join(' | ')}] within ${pauseMs} ms`, async (model, run) => {
      freeze(model, run);
      for (const one of sent) send(model, run, one);
      await sleep(pauseMs);
      run.groups.open();
      model.firstNumber += FRESH_AFTER_A_WAVE;
    }),
  );

function send(model: SubmitModel, run: SubmitRun, { number, body, prefer, process }: Request): void {
  const { key, known } = keyOf(model, run, number);
  known.bodies.add(body);
  run.asked.push(ask(run, key, body, prefer, process));
}

function freeze(model: SubmitModel, { groups }: SubmitRun): void {
  model.linkWasFrozen = true;
  groups.freeze();
}

const textOf = ({ number, body, prefer, process }: Request) => `${number}: ${body}, ${prefer}, process ${process}`;

const trouble = fc
  .record({ number: keyNumber, kind: fc.constantFrom<Trouble>('transient', 'transient', 'bug', 'slow') })
  .map(({ number, kind }) =>
    command(`the next attempt of ${number}: ${kind}`, async (model, run) => {
      const { key, known } = keyOf(model, run, number);
      known.troubles.add(kind);
      run.troubles.set(key, [...(run.troubles.get(key) ?? []), kind]);
    }),
  );

const cancel = fc.record({ number: keyNumber, process: processNumber }).map(({ number, process }) =>
  command(`cancel ${number}, process ${process}`, async (model, run) => {
    const { key, known } = keyOf(model, run, number);
    known.cancelled = true;
    const client = run.company.as('owner', run.urls[process]);
    run.cancelled.push(client.send('POST', `/api/writes/${key}/cancel`).then((answer) => ({ key, answer })));
  }),
);

export async function ask(run: SubmitRun, key: string, body: Body, prefer: Preference, process: 0 | 1): Promise<Asked> {
  const { company, system, urls, unfounded } = run;
  const answer = await company
    .as('owner', urls[process])
    .post('/api/customers', bodyOf(key, body), { key, headers: { prefer } });
  if (answer.status === 202) {
    const { memo } = await system.temporal.workflow
      .getHandle(workflowIdOf(company.id, key))
      .describe()
      .catch(() => ({ memo: undefined }));
    const input = parseInput(createCustomer, { params: {}, body: bodyOf(key, body) }) as WireInput;
    if (memo === undefined) unfounded.push({ key, found: 'no run' });
    else if (memo['fingerprint'] !== fingerprint(createCustomer.name, input))
      unfounded.push({ key, found: 'another body' });
  }
  return { key, body, prefer, answer };
}

/** The reference is taken by a customer that each company of these tests has. */
function bodyOf(key: string, body: Body) {
  return { name: `${key} ${body}`, ...(body === 'rejected' ? { externalReference: TAKEN_REFERENCE } : {}) };
}

export const TAKEN_REFERENCE = 'taken';

function endRun(number: number) {
  return async (model: SubmitModel, run: SubmitRun) => {
    const { key, known } = keyOf(model, run, number);
    known.ended = true;
    const handle = run.system.temporal.workflow.getHandle(workflowIdOf(run.company.id, key));
    await handle.terminate('ended by the test').catch(() => undefined); // none is open
  };
}

async function endGroups(model: SubmitModel, { system }: SubmitRun): Promise<void> {
  for (const key of model.keys.values()) key.ended = true;
  const query = `TaskQueue = '${system.environment['TEMPORAL_TASK_QUEUE']}' AND WorkflowType = 'writeGroup' AND ExecutionStatus = 'Running'`;
  for await (const { workflowId } of system.temporal.workflow.list({ query })) {
    await system.temporal.workflow
      .getHandle(workflowId)
      .terminate('ended by the test')
      .catch(() => undefined);
  }
}

function keyOf({ keys, firstNumber }: SubmitModel, { name }: SubmitRun, number: number) {
  const key = `${name}-${firstNumber + number}`;
  const known: KeyModel = keys.get(key) ?? { bodies: new Set(), troubles: new Set(), cancelled: false, ended: false };
  keys.set(key, known);
  return { key, known };
}

function command(text: string, run: (model: SubmitModel, run: SubmitRun) => Promise<unknown>): Command {
  return {
    check: () => true,
    run: async (model, real) => void (await run(model, real)),
    toString: () => text,
  };
}
