import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { addressesInHosts, type DnsQuestions } from '../../activities/webhooks/resolve.ts';
import { sendWebhook } from '../../activities/webhooks/send.ts';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { until } from '../support/held-invoice.ts';
import { startReceiver } from '../support/receiver.ts';

const PUBLIC = '8.8.8.8';
const PUBLIC_6 = '2606:4700:4700::1111';
const NOT_PUBLIC = 'The host name does not exist, or not all of its addresses are public';

let receiver: Awaited<ReturnType<typeof startReceiver>>;
let dns: DnsServer;
let silent: DnsServer;
/** With each of several servers in its turn, a lookup without a limit of its own would take longer than the call may. */
let down: DnsServer[];
beforeAll(async () => {
  receiver = await startReceiver();
  down = await Promise.all(Array.from({ length: 4 }, () => startDnsServer({})));
  [silent] = down as [DnsServer];
  dns = await startDnsServer({
    'hooks.example.test': ['127.0.0.1'],
    'no-address.example.test': [],
    // No connection can be made to the first; the second is 127.0.0.1 as an IPv6 address.
    'second-kind.example.test': ['255.255.255.255', '::ffff:7f00:1'],
    'private-last.example.test': [PUBLIC, '10.0.0.1'],
    'private-first.example.test': ['10.0.0.1', PUBLIC],
    'private-in-the-middle.example.test': [PUBLIC, '169.254.169.254', PUBLIC],
    'private-6.example.test': [PUBLIC, '::1'],
    'private-4.example.test': ['127.0.0.1', PUBLIC_6],
    'both-private.example.test': ['127.0.0.1', '::1'],
  });
});
afterAll(() => Promise.all([receiver, dns, ...down].map((server) => server.close())));
beforeEach(() => {
  receiver.calls.length = 0;
  dns.asked.length = 0;
});

const to = (url: string, { allowPrivate = false, ...questions }: { allowPrivate?: boolean } & DnsQuestions = {}) =>
  sendWebhook({ url, headers: {}, body: '{}', allowPrivate, dns: { servers: [dns.address], ...questions } });
const at = (host: string) => `http://${host}:${new URL(receiver.url).port}/`;

describe('the name of a receiver', () => {
  test('is resolved once, and the call goes to the address that was checked', async () => {
    // Nobody but this server knows the name: whoever connects to the name instead of the address reaches nothing.
    const url = at('hooks.example.test');
    expect(await to(url, { allowPrivate: true })).toEqual({ error: undefined, status: 204, gone: false });
    expect(receiver.calls.map(({ headers }) => headers.host)).toEqual([new URL(url).host]);
    expect(dns.asked).toEqual(['hooks.example.test', 'hooks.example.test']); // A and AAAA
  });

  test.each([
    'private-last.example.test',
    'private-first.example.test',
    'private-in-the-middle.example.test',
    'private-6.example.test',
    'private-4.example.test',
    'both-private.example.test',
  ])('that has an address which is not public is not called: %s', async (host) => {
    expect(await to(`https://${host}/`)).toEqual({ error: NOT_PUBLIC, status: null, gone: false });
    expect(dns.asked).toEqual([host, host]);
  });

  test('without an address is told in the same words when the limit of the call has passed', async () => {
    const passed = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.abort());
    onTestFinished(() => passed.mockRestore());
    expect(await to('https://no-address.example.test/')).toMatchObject({ error: NOT_PUBLIC });
    expect(await to('https://private-6.example.test/')).toMatchObject({ error: NOT_PUBLIC });
    const { error } = await to(at('hooks.example.test'), { allowPrivate: true });
    expect(error).toBe('No answer within 5 seconds');
  });

  test('without an address is not called', async () => {
    const { error } = await to('https://no-address.example.test/');
    expect(error).toBe(NOT_PUBLIC);
  });

  test('is asked of the next server when the first does not answer', async () => {
    const servers = [silent.address, dns.address];
    expect(await to(at('hooks.example.test'), { allowPrivate: true, servers })).toMatchObject({ status: 204 });
  });

  test('with addresses of both kinds is called at the second when the first takes no connection', async () => {
    expect(await to(at('second-kind.example.test'), { allowPrivate: true })).toMatchObject({ status: 204 });
    expect(receiver.calls).toHaveLength(1);
  });

  test('in the hosts file, and localhost everywhere, is not asked of any server', async () => {
    expect(await to(at('localhost'), { allowPrivate: true })).toMatchObject({ status: 204 });
    expect(await to('https://localhost/')).toMatchObject({ error: NOT_PUBLIC });
    expect(await to('https://any.LOCALHOST./')).toMatchObject({ error: NOT_PUBLIC });
    expect(dns.asked).toEqual([]);
  });
});

test('a hosts file is read as the system reads it: comments, several names a line, IPv4 first, any case', () => {
  const text = [
    '# 192.0.2.9 Hooks.test',
    '::1\tlocalhost ip6-localhost',
    '127.0.0.1  localhost # hooks.test',
    '2001:db8::1 hooks.test',
    '192.0.2.1 other.test HOOKS.test',
    'fe80::1%eth0 hooks.test',
    'nonsense hooks.test',
  ].join('\r\n');
  expect(addressesInHosts(text, 'hooks.test')).toEqual(['192.0.2.1', '2001:db8::1']);
  expect(addressesInHosts(text, 'localhost')).toEqual(['127.0.0.1', '::1']);
  expect(addressesInHosts(text, 'absent.test')).toEqual([]);
});

describe('names that DNS does not answer', () => {
  const late = { error: NOT_PUBLIC, status: null, gone: false };

  test('end within their limit', async () => {
    const sent = Array.from({ length: 20 }, (_, index) =>
      to(`https://dead-${index}.example.test/`, { servers: down.map(({ address }) => address) }),
    );
    expect(await Promise.all(sent)).toEqual(sent.map(() => late));
    // A server has half a second: the limit ends a lookup before it has asked all of them three times, for A and AAAA.
    const asked = down.flatMap(({ asked }) => asked).filter((name) => name === 'dead-19.example.test').length;
    expect(asked).toBeGreaterThan(0);
    expect(asked).toBeLessThan(down.length * 3 * 2);
  });

  /** Lookups at a server that does not answer, which go on until the test ends them, however long its other steps take. */
  function held(name: string, length: number) {
    const limits = Array.from({ length }, () => new AbortController());
    const end = () => {
      for (const limit of limits) limit.abort();
    };
    onTestFinished(end);
    const sent = limits.map(({ signal }, index) =>
      to(`https://${name}-${index}.example.test/`, {
        servers: [silent.address],
        serverLimitMs: 600_000,
        end: signal,
      }),
    );
    return { sent, end };
  }

  test('keep no lookup of another waiting', async () => {
    let ended = 0;
    const { sent, end } = held('held', 20);
    for (const one of sent) void one.then(() => (ended += 1));
    await until('all of them to be asked for', async () =>
      sent.every((_, index) => silent.asked.includes(`held-${index}.example.test`)),
    );
    // Not only calls of others: the database's host name is looked up by the threads that a lookup by the system takes.
    for (let call = 0; call < 5; call += 1) {
      expect(await to(at('hooks.example.test'), { allowPrivate: true })).toMatchObject({ status: 204 });
    }
    expect(ended).toBe(0);
    end();
    expect(await Promise.all(sent)).toEqual(sent.map(() => late));
  });

  test('are bounded: what is too many is refused at once', async () => {
    const { sent, end } = held('many', 501);
    const refused = { ...late, error: 'Too many host names are being resolved at once' };
    // The others cannot end yet.
    expect(await Promise.race(sent)).toEqual(refused);
    expect(await to(at('hooks.example.test'), { allowPrivate: true })).toEqual(refused);
    end();
    const all = await Promise.all(sent);
    expect(all.filter(({ error }) => error === refused.error)).toEqual([refused]);
    expect(all.filter(({ error }) => error === late.error)).toHaveLength(500);
    // And each frees its place.
    expect(await to(at('hooks.example.test'), { allowPrivate: true })).toMatchObject({ status: 204 });
  });
});
