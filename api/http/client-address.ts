import type { IncomingMessage } from 'node:http';
import { isIP, isIPv6 } from 'node:net';

/**
 * The address of the client. With `trustedHops` proxies of our own in front, it is the entry of `X-Forwarded-For` that the
 * outermost of them has written, counted from the right: what is left of it comes from the client and can say anything.
 * Without proxies the header is ignored. An entry that is no address means the nearest hop that is known to be one.
 */
export function clientAddress({ headers, socket }: IncomingMessage, trustedHops: number): string {
  const header = headers['x-forwarded-for'] ?? '';
  const forwarded = (Array.isArray(header) ? header.join(',') : header).split(',').map((entry) => entry.trim());
  // From the nearest to the farthest that a proxy of ours vouches for.
  const hops = [socket.remoteAddress ?? '', ...forwarded.toReversed().slice(0, trustedHops)];
  const unknown = hops.findIndex((hop) => isIP(hop) === 0);
  return plain((unknown === -1 ? hops : hops.slice(0, unknown)).at(-1) ?? '');
}

/** Without the zone of a link, which PostgreSQL does not know; an IPv4 address that came over an IPv6 socket, in its own form. */
function plain(address: string): string {
  const [withoutZone = ''] = address.split('%');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(withoutZone)?.[1];
  return mapped ?? withoutZone;
}

/** What counts as one source: an IPv4 address, or the /64 of an IPv6 address, since a single host has that many to choose from. */
export function sourceOf(ofAnyForm: string): string {
  const address = plain(ofAnyForm);
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  const network = [...left, ...zeros, ...right].slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(':')}::/64`;
}
