import { isIP } from 'node:net';
import { isPublicAddress } from './addresses.ts';

const PORTS: readonly string[] = ['', '8443']; // '' is https's own, 443

/**
 * Why webhooks may not be sent to that URL; undefined when they may. The addresses of its host name are checked at each
 * attempt, because they can change.
 */
export function webhookUrlFault(url: string, allowPrivate: boolean): string | undefined {
  if (!URL.canParse(url)) return 'It is not a URL';
  const { protocol, username, password, port, hash } = new URL(url);
  if (username !== '' || password !== '') return 'It has a user or a password, which the receiver does not need';
  if (hash !== '') return 'It has a fragment, which is never sent';
  if (allowPrivate) return protocol === 'https:' || protocol === 'http:' ? undefined : 'It is not https';
  if (protocol !== 'https:') return 'It is not https';
  if (!PORTS.includes(port)) return 'Its port is neither 443 nor 8443';
  const host = hostOf(url);
  return isIP(host) !== 0 && !isPublicAddress(host) ? 'Its address is not a public one' : undefined;
}

/** The host name or address to connect to; an IPv6 address without its brackets. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
}
