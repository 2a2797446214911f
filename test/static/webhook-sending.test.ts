import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPublicAddress } from '../../activities/webhooks/addresses.ts';
import { sendWebhook } from '../../activities/webhooks/send.ts';
import { webhookUrlFault } from '../../activities/webhooks/url.ts';
import { startReceiver } from '../support/receiver.ts';

describe('an address that webhooks are sent to is a public one', () => {
  test.each([
    ...[
      '0.0.0.0',
      '0.1.2.3',
      '10.0.0.1',
      '10.255.255.255',
      '100.64.0.1',
      '100.127.255.255',
      '127.0.0.1',
      '127.255.0.1',
    ],
    ...['169.254.0.1', '169.254.169.254', '172.16.0.1', '172.31.255.255', '192.0.0.1', '192.0.2.1', '192.168.1.1'],
    ...['192.88.99.1', '198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1', '224.0.0.1', '239.1.1.1'],
    ...['240.0.0.1', '255.255.255.255'],
    ...['::', '::1', '::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:8.8.8.8', '::7f00:1', '64:ff9b::a00:1'],
    ...['64:ff9b:1::1', '100::1', 'fc00::1', 'fd12:3456::1', 'fe80::1', 'fe80::1%eth0', 'fec0::1', 'ff02::1'],
    ...['2001::1', '2001:db8::1', '2002:a00:1::', '2001:10::1', '3fff::1', '4000::1', '5f00::1'],
    ...['', 'localhost', '10.1', '0x7f000001', '2130706433', '[::1]', '8.8.8.8 ', '2000::%1'],
  ])('%s is none', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  test.each([
    '8.8.8.8',
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.1',
    '100.63.255.255',
    '100.128.0.1',
    '172.15.0.1',
    '172.32.0.1',
    '192.169.0.1',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2a00:1450::1',
    '2001:4860:4860::8888',
  ])('%s is one', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });
});

describe('a call', () => {
  let receiver: Awaited<ReturnType<typeof startReceiver>>;
  beforeAll(async () => {
    receiver = await startReceiver();
  });
  afterAll(() => receiver.close());

  const send = (url: string, allowPrivate: boolean) => sendWebhook({ url, headers: {}, body: '{}', allowPrivate });

  test('goes to no name with a private address, over https or not, and not to another port', async () => {
    const port = new URL(receiver.url).port;
    const NO_PUBLIC_ADDRESS = 'The host name does not exist, or not all of its addresses are public';
    const refused = [
      ['https://localhost/', NO_PUBLIC_ADDRESS],
      ['https://localhost:8443/', NO_PUBLIC_ADDRESS],
      ['https://127.0.0.1/', 'Its address is not a public one'],
      ['https://[::ffff:127.0.0.1]/', 'Its address is not a public one'],
      ['https://127.1/', 'Its address is not a public one'],
      [receiver.url, 'It is not https'],
      [`https://127.0.0.1:${port}/`, 'Its port is neither 443 nor 8443'],
      ['https://name.invalid/', NO_PUBLIC_ADDRESS],
    ] as const;
    for (const [url, error] of refused) {
      expect([url, await send(url, false)]).toEqual([url, { error, status: null, gone: false }]);
    }
    expect(receiver.calls).toEqual([]);
    expect(webhookUrlFault('https://hooks.example.test:8443/x?y=1', false)).toBeUndefined();
  });

  test('is made where private addresses are allowed', async () => {
    expect(await send(receiver.url, true)).toEqual({ error: undefined, status: 204, gone: false });
    expect(receiver.calls).toHaveLength(1);
    expect(receiver.calls[0]?.headers).toMatchObject({
      host: new URL(receiver.url).host,
      'content-type': 'application/json',
    });
  });

  test('follows no redirect', async () => {
    receiver.calls.length = 0;
    receiver.answer((_call, response) => response.writeHead(307, { location: receiver.url }).end());
    expect(await send(receiver.url, true)).toMatchObject({ error: 'Answered 307: redirects are not followed' });
    expect(receiver.calls).toHaveLength(1);
  });

  test('takes an answer that changes the protocol for a failure', async () => {
    receiver.answer((_call, response) => {
      response.socket?.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    });
    expect(await send(receiver.url, true)).toEqual({ error: 'Answered 101', status: 101, gone: false });
  }, 20_000);

  test('reads 64 KiB of the answer and no more', async () => {
    receiver.answer((_call, response) => response.writeHead(200).end(Buffer.alloc(64 * 1024)));
    expect(await send(receiver.url, true)).toMatchObject({ error: undefined });
    receiver.answer((_call, response) => response.writeHead(200).end(Buffer.alloc(64 * 1024 + 1)));
    expect(await send(receiver.url, true)).toMatchObject({ error: 'The response is longer than 64 KiB' });
  });

  test('waits 5 seconds for an answer, its last byte included', async () => {
    receiver.answer((_call, response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write('.'), 100);
      response.on('close', () => clearInterval(drip));
    });
    const startedAt = performance.now();
    expect(await send(receiver.url, true)).toMatchObject({ error: 'No answer within 5 seconds' });
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });
});
