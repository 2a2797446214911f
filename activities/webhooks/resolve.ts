import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP, isIPv4 } from 'node:net';
import { WebhookError } from './webhook-error.ts';

const LIMIT_MS = 3_000;
/** For one server; Node looks at it in steps of the same length, so it takes up to twice that. Each round is longer. */
const SERVER_LIMIT_MS = 500;
const ROUNDS = 3;
/** More than the worker makes calls at once (worker/event-worker.ts), so that no delivery is refused for another's name. */
const LOOKUPS_AT_ONCE = 500;
const HOSTS_FILE = '/etc/hosts';
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1'];

/** What a test replaces: each member left out is as in production. */
export type DnsQuestions = {
  /** The servers to ask, instead of those of the system. */
  readonly servers?: readonly string[];
  readonly serverLimitMs?: number;
  /** Ends the lookup, instead of the limit of 3 seconds. */
  readonly end?: AbortSignal;
};

let underWay = 0;

/**
 * All addresses of a host name, IPv4 first: those of the hosts file, else those that DNS answers within 3 seconds. Why there is
 * none, an unknown name or a server that does not answer, is not told. Throws {@link WebhookError} while too many are looked up.
 *
 * Not by `dns.lookup`: that takes one of the four threads of the process for as long as the name's servers do not answer, up
 * to half a minute each, and the connections to the database and to Temporal wait for the same threads.
 */
export async function resolveHost(host: string, dns: DnsQuestions = {}): Promise<string[]> {
  const name = host.toLowerCase().replace(/\.$/, '');
  const known = addressesInHosts(await readHosts(), name);
  if (known.length > 0) return known;
  // No hosts file has the names below it, and some do not even have localhost itself (RFC 6761, section 6.3).
  if (name === 'localhost' || name.endsWith('.localhost')) return [...LOOPBACK];
  if (underWay >= LOOKUPS_AT_ONCE) throw new WebhookError('Too many host names are being resolved at once');
  underWay += 1;
  try {
    return await askDns(name, dns);
  } finally {
    underWay -= 1;
  }
}

/** The addresses that a hosts file (see hosts(5)) gives a name. */
export function addressesInHosts(text: string, name: string): string[] {
  const found: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    const isUsable = isIP(address) !== 0 && !address.includes('%');
    if (isUsable && names.some((one) => one.toLowerCase() === name)) found.push(address);
  }
  return ipv4First(found);
}

async function readHosts(): Promise<string> {
  return readFile(HOSTS_FILE, 'utf8').catch(() => '');
}

async function askDns(name: string, { servers, serverLimitMs, end }: DnsQuestions): Promise<string[]> {
  // One for each name: cancelling ends all questions of a resolver.
  const resolver = new Resolver({ timeout: serverLimitMs ?? SERVER_LIMIT_MS, tries: ROUNDS });
  if (servers !== undefined) resolver.setServers(servers);
  const cancel = () => resolver.cancel();
  const limit = end === undefined ? setTimeout(cancel, LIMIT_MS) : undefined;
  end?.addEventListener('abort', cancel, { once: true });
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  clearTimeout(limit);
  end?.removeEventListener('abort', cancel);
  // One kind is enough, as it is for the system: many names have no IPv6 address, and some servers answer that with an error.
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
}

function ipv4First(addresses: readonly string[]): string[] {
  return [...addresses.filter((one) => isIPv4(one)), ...addresses.filter((one) => !isIPv4(one))];
}
