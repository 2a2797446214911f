import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inParallel } from '../../deploy/cli/in-parallel.ts';
import type { Company } from '../support/companies.ts';
import { numberEvents } from '../support/events.ts';
import { until } from '../support/held-invoice.ts';
import { executedPayRun } from '../support/payroll.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

type Event = { readonly id: string; readonly kind: string; readonly writeId: string };

let system: System;
let company: Company;
let other: Company;
/** All events of the company, oldest first, as its owner sees them. */
let events: readonly Event[];
beforeAll(async () => {
  system = await startSystem();
  [company, other] = [await system.company(), await system.company()];
  await company.customer();
  await executedPayRun(company);
  await company.invoice();
  await other.customer();
  await numberEvents(system.owner);
  events = (await list('?limit=200')).toReversed();
});
afterAll(() => system.stop());

async function list(query: string, api = company.api): Promise<readonly Event[]> {
  const { status, json, text } = await api.get(`/api/events${query}`);
  if (status !== 200) throw new Error(text);
  return json.items;
}

/** All pages of a list, of so many each. */
async function pages(query: string, limit: number, api = company.api): Promise<readonly Event[]> {
  const read: Event[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const answer: { items: Event[]; nextCursor: string | null } = (
      await api.get(`/api/events?limit=${limit}${query}${cursor === '' ? '' : `&cursor=${cursor}`}`)
    ).json;
    read.push(...answer.items);
    cursor = answer.nextCursor;
  }
  return read;
}

describe('the list of events', () => {
  test('is newest first, and is the same, its cursor too, where that is said', async () => {
    const [unsaid, said] = [
      await company.api.get('/api/events?limit=2'),
      await company.api.get('/api/events?limit=2&order=newest'),
    ];
    expect(unsaid.json.items).toEqual(events.toReversed().slice(0, 2));
    expect(said.text).toBe(unsaid.text);
    expect(await list(`?limit=200&cursor=${said.json.nextCursor}`)).toEqual(events.toReversed().slice(2));
  });

  test('is oldest first on demand, page by page', async () => {
    expect(events.length).toBeGreaterThan(6);
    expect(await pages('&order=oldest', 2)).toEqual(events);
    expect(await pages('&order=oldest&kind=pay_run.created', 1)).toEqual(
      events.filter(({ kind }) => kind === 'pay_run.created'),
    );
  });

  test('after an event has what comes after it, and nothing else', async () => {
    for (const [index, { id }] of events.entries()) {
      expect(await list(`?limit=200&after=${id}`)).toEqual(events.slice(index + 1));
    }
    const [first] = events;
    expect(await pages(`&after=${first?.id}`, 2)).toEqual(events.slice(1));
    expect(await list(`?limit=200&after=${first?.id.toUpperCase()}`)).toEqual(events.slice(1));
    expect(await pages(`&after=${first?.id}&order=newest`, 2)).toEqual(events.slice(1).toReversed());
    // Of another kind than what is asked for.
    expect(await list(`?after=${first?.id}&kind=invoice.finalized`)).toEqual(
      events.filter(({ kind }) => kind === 'invoice.finalized'),
    );
  });

  test('takes a cursor only where it was given', async () => {
    const [first] = events;
    const { nextCursor } = (await company.api.get(`/api/events?limit=1&after=${first?.id}`)).json;
    expect(await list(`?limit=200&after=${first?.id}&order=oldest&cursor=${nextCursor}`)).toEqual(events.slice(2));
    for (const query of ['', 'order=oldest&', `after=${first?.id}&order=newest&`, `after=${events[1]?.id}&`]) {
      const answer = await company.api.get(`/api/events?${query}cursor=${nextCursor}`);
      expect([query, answer.status, answer.json.errors?.[0].pointer]).toEqual([query, 422, '/cursor']);
    }
  });

  test.each(['order=latest', 'order=', 'after=', 'after=1', 'after=null'])('refuses %s', async (query) => {
    const answer = await company.api.get(`/api/events?${query}`);
    expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
    expect(answer.json.errors[0]).toMatchObject({ in: 'query', pointer: `/${query.split('=')[0]}` });
  });

  test('has nothing after an event that is not listed yet, and then what was listed after it', async () => {
    const one = await system.company();
    await one.customer();
    await numberEvents(system.owner);
    const { workflowId } = await one.api.created('/api/workflows/sendInvoiceReminders/trigger', {});
    expect(await list(`?after=${workflowId}`, one.api)).toEqual([]);
    await numberEvents(system.owner);
    expect(await list(`?after=${workflowId}`, one.api)).toEqual([]);
    await one.customer();
    await numberEvents(system.owner);
    expect((await list(`?after=${workflowId}`, one.api)).map(({ kind }) => kind)).toEqual(['customer.created']);
  });
});

describe('an event that the reader may not see', () => {
  const isHidden = ({ kind }: Event) => kind.startsWith('pay_run.');

  test('is in no page of theirs, in either order and after any event', async () => {
    const manager = company.as('manager');
    const visible = events.filter((event) => !isHidden(event));
    expect(visible.length).toBeLessThan(events.length);
    expect(await pages('&order=oldest', 1, manager)).toEqual(visible);
    for (const [index, { id }] of visible.entries()) {
      expect(await pages(`&after=${id}`, 3, manager)).toEqual(visible.slice(index + 1));
    }
  });

  test('is answered as one that there is not, so that nobody learns whether it is there', async () => {
    const foreign = (await list('?limit=1', other.api))[0]?.id;
    const hidden = events.find(isHidden)?.id;
    const answers = [];
    for (const [id, api] of [
      [randomUUID(), company.api],
      [foreign, company.api],
      [hidden, company.as('manager')],
    ] as const) {
      const { status, text } = await api.get(`/api/events?after=${id}`);
      answers.push({ status, ...JSON.parse(text.replaceAll(id ?? '', 'ID')), requestId: '' });
    }
    expect(answers[0]).toMatchObject({
      ...{ status: 422, code: 'validation_failed', nextAction: 'fix_request' },
      errors: [{ in: 'query', pointer: '/after' }],
    });
    expect(answers).toEqual([answers[0], answers[0], answers[0]]);
    expect(await list(`?limit=200&after=${hidden}`, company.as('auditor'))).not.toEqual([]);
  });
});

describe('a reader who asks again and again for what comes after the last event', () => {
  const CLIENTS = 8;
  const WRITES = 200;

  test(`gets each of ${WRITES} once and in order, while ${CLIENTS} clients write and the relay numbers`, async () => {
    const busy = await system.company();
    const relay = await startRelay(system);
    try {
      const [seen, written]: [Event[], string[]] = [[], []];
      let last = '';
      const readOn = async () => {
        const items = await list(`?limit=7${last === '' ? '&order=oldest' : `&after=${last}`}`, busy.api);
        seen.push(...items);
        last = items.at(-1)?.id ?? last;
      };
      const writing = inParallel(
        CLIENTS,
        Array.from({ length: WRITES }, (_, index) => index),
        async (index) => {
          written.push((await busy.api.created('/api/customers', { name: `Customer ${index}` })).id);
        },
      );
      const reading = until('all events to be read', async () => {
        for (let read = -1; read < seen.length; ) {
          read = seen.length;
          await readOn();
        }
        return seen.length >= WRITES;
      });
      await Promise.all([writing, reading]);
      await readOn();
      expect(seen.map(({ writeId }) => writeId).toSorted()).toEqual(written.toSorted());
      expect(seen).toEqual((await pages('', 200, busy.api)).toReversed());
    } finally {
      await relay.close();
    }
  });
});
