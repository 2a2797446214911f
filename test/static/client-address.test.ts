import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { clientAddress, sourceOf } from '../../api/http/client-address.ts';

const request = (remoteAddress: string | undefined, forwarded?: string) =>
  ({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } }) as unknown as IncomingMessage;

describe('the address of a client', () => {
  test.each([
    ['without a proxy, the peer', '192.0.2.9', undefined, 0, '192.0.2.9'],
    ['without a proxy, whatever the header says', '192.0.2.9', '198.51.100.1', 0, '192.0.2.9'],
    ['behind one proxy, the last entry', '192.0.2.9', '198.51.100.1, 198.51.100.2', 1, '198.51.100.2'],
    ['behind two, the last but one', '192.0.2.9', '6.6.6.6, 198.51.100.1, 198.51.100.2', 2, '198.51.100.1'],
    ['with fewer entries than proxies, the farthest', '192.0.2.9', '198.51.100.1', 2, '198.51.100.1'],
    ['without the header, the peer', '192.0.2.9', undefined, 1, '192.0.2.9'],
    ['an entry that is no address', '192.0.2.9', '198.51.100.1, unknown', 1, '192.0.2.9'],
    ['one behind an entry that is no address', '192.0.2.9', '198.51.100.1, _hidden', 2, '192.0.2.9'],
    ['IPv4 over IPv6', '::ffff:192.0.2.9', undefined, 0, '192.0.2.9'],
    ['of a link', 'fe80::1%eth0', undefined, 0, 'fe80::1'],
    ['of a connection that is gone', undefined, '198.51.100.1', 1, ''],
  ])('%s', (_what, peer, forwarded, hops, expected) => {
    expect(clientAddress(request(peer, forwarded), hops)).toBe(expected);
  });

  test.each([
    ['192.0.2.9', '192.0.2.9'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', ''],
  ])('%s counts as %s', (address, source) => {
    expect(sourceOf(address)).toBe(source);
  });
});
