import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inParallel } from '../../deploy/cli/in-parallel.ts';
import { createCalls } from '../../deploy/client/src/calls.ts';
import { type FollowOptions, followEvents } from '../../deploy/client/src/events.ts';
import type { Company } from '../support/companies.ts';
import { numberEvents } from '../support/events.ts';
import { startProxy, targetOf, through } from '../support/proxy.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

type Event = { readonly id: string; readonly kind: string; readonly writeId: string };

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
});
afterAll(() => system.stop());

function callsOf(url: string, of: Company, role: 'owner' | 'inventory_manager' = 'owner') {
  // Short deadlines: an outage ends several calls.
  return createCalls({ baseUrl: url, token: of.users[role].token, deadlineMs: 500 });
}

const follow = (options: FollowOptions, url = system.url, of = company) =>
  followEvents<Event>(callsOf(url, of), { pollMs: 50, ...options });

describe('a program that follows events', () => {
  const WRITES = 120;

  test('gets each once and in order through outages, while others write, from where it was stopped', async () => {
    const relay = await startRelay(system);
    const proxy = await startProxy(targetOf(system.url));
    const [handled, written]: [Event[], string[]] = [[], []];
    let outages = 0;
    try {
      const writing = inParallel(
        6,
        Array.from({ length: WRITES }, (_, index) => index),
        async (index) => {
          written.push((await company.api.created('/api/customers', { name: `Customer ${index}` })).id);
        },
      );
      let kept: string | undefined;
      // Each round is a start of the program.
      while (handled.length < WRITES) {
        const stop = new AbortController();
        const end = handled.length + WRITES / 6;
        for await (const event of follow({ after: kept, signal: stop.signal }, through(system.url, proxy))) {
          handled.push(event);
          kept = event.id;
          if (handled.length % 30 === 10) {
            outages += 1;
            proxy.cut();
            setTimeout(() => proxy.open(), 1_200);
          }
          if (handled.length >= end) stop.abort();
        }
      }
      await writing;
    } finally {
      await proxy.close();
      await relay.close();
    }
    expect(outages).toBeGreaterThan(1);
    expect(handled.map(({ writeId }) => writeId).toSorted()).toEqual(written.toSorted());
    const { items } = (await company.api.get('/api/events?order=oldest&limit=200')).json;
    expect(handled).toEqual(items);
  });

  test('of one kind gets that kind alone', async () => {
    const one = await system.company();
    await one.invoice();
    await one.customer();
    await numberEvents(system.owner);
    const kinds: string[] = [];
    const stop = new AbortController();
    for await (const { kind } of follow({ kind: 'customer.created', signal: stop.signal }, system.url, one)) {
      kinds.push(kind);
      if (kinds.length === 2) stop.abort();
    }
    expect(kinds).toEqual(['customer.created', 'customer.created']);
  });

  test('learns that the service does not know the event, and that it may not read events', async () => {
    const first = (options: FollowOptions, calls = callsOf(system.url, company)) =>
      followEvents<Event>(calls, options).next();
    await expect(first({ after: company.id })).rejects.toMatchObject({
      ...{ name: 'RefusedError', status: 422, code: 'validation_failed' },
      problem: { errors: [{ in: 'query', pointer: '/after' }] },
    });
    await expect(first({}, callsOf(system.url, company, 'inventory_manager'))).rejects.toMatchObject({ status: 403 });
  });
});
