import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, isIPv4 } from 'node:net';
import { isPublicAddress } from './addresses.ts';
import { type DnsQuestions, resolveHost } from './resolve.ts';
import { hostOf, webhookUrlFault } from './url.ts';
import { WebhookError } from './webhook-error.ts';

export type Sending = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Local use only: allows any address, http and any port. */
  readonly allowPrivate: boolean;
  /** How DNS is asked for the host name, if not as in production. */
  readonly dns?: DnsQuestions;
};

/** `gone`: the receiver wants no more calls (410). */
export type Sent = { readonly error: string | undefined; readonly status: number | null; readonly gone: boolean };

const TIME_LIMIT_MS = 5_000;
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Calls a webhook once. It resolves the host name, requires that every address is public, and connects to the checked
 * address itself, so that a later DNS change has no effect. It follows no redirect and uses no proxy. Never throws.
 */
export async function sendWebhook(sending: Sending): Promise<Sent> {
  const limit = AbortSignal.timeout(TIME_LIMIT_MS);
  try {
    const status = await call(sending, limit);
    return { error: faultOfStatus(status), status, gone: status === 410 };
  } catch (error) {
    return { error: describe(error, limit), status: null, gone: false };
  }
}

async function call(sending: Sending, signal: AbortSignal): Promise<number> {
  const fault = webhookUrlFault(sending.url, sending.allowPrivate);
  if (fault !== undefined) throw new WebhookError(fault);
  const [first, second] = await resolveChecked(sending);
  try {
    return await post(sending, first, signal);
  } catch (error) {
    if (second === undefined || !tookNoConnection(error)) throw error;
    return post(sending, second, signal);
  }
}

/** One checked address of each kind that the host name has, IPv4 first. */
async function resolveChecked({ url, allowPrivate, dns }: Sending): Promise<readonly [string, string | undefined]> {
  const host = hostOf(url);
  const addresses = isIP(host) === 0 ? await resolveHost(host, dns) : [host];
  const [first] = addresses;
  // A name that resolves to public and private addresses may be an attempt to reach the private ones.
  if (first === undefined || (!allowPrivate && !addresses.every(isPublicAddress))) {
    throw new WebhookError(NO_PUBLIC_ADDRESS);
  }
  return [first, addresses.find((address) => isIPv4(address) !== isIPv4(first))];
}

/**
 * One text for a name that is unknown, one whose addresses are private, and one for which no DNS server answers: the
 * difference would tell a company which names our own network has.
 */
const NO_PUBLIC_ADDRESS = 'The host name does not exist, or not all of its addresses are public';

/** This machine has no way to addresses of that kind, or nothing listens there: nothing was sent. */
function tookNoConnection(error: unknown): boolean {
  const { syscall, code } = error as { syscall?: unknown; code?: unknown };
  return syscall === 'connect' && code !== 'ETIMEDOUT';
}

function post({ url, headers, body }: Sending, address: string, signal: AbortSignal): Promise<number> {
  const { protocol, port, pathname, search, host, hostname } = new URL(url);
  const request = protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: address,
        // SNI and certificate verification use the host name, not the address.
        ...(isIP(hostOf(url)) === 0 ? { servername: hostname } : {}),
        ...(port === '' ? {} : { port }),
        method: 'POST',
        path: pathname + search,
        agent: false,
        signal,
        headers: {
          ...headers,
          host,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'user-agent': 'AccuBooks-Webhooks',
        },
      },
      (answer) => {
        let bytes = 0;
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) answer.destroy(new WebhookError('The response is longer than 64 KiB'));
        });
        answer.on('error', reject);
        answer.on('end', () => resolve(answer.statusCode ?? 0));
      },
    );
    sent.on('error', reject);
    // Without a listener, Node closes the connection and tells of neither an answer nor an error.
    sent.on('upgrade', (answer, socket) => {
      socket.destroy();
      resolve(answer.statusCode ?? 0);
    });
    sent.end(body);
  });
}

function faultOfStatus(status: number): string | undefined {
  if (status >= 200 && status < 300) return undefined;
  return status >= 300 && status < 400 ? `Answered ${status}: redirects are not followed` : `Answered ${status}`;
}

/** The text that the company may see: our own message, that it was too late, or the network error's code. */
function describe(error: unknown, limit: AbortSignal): string {
  // Also when the limit has passed meanwhile, as it does in a process that is short of CPU: see NO_PUBLIC_ADDRESS.
  if (error instanceof WebhookError) return error.message;
  if (limit.aborted) return `No answer within ${TIME_LIMIT_MS / 1000} seconds`;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? `The connection failed (${code})` : 'The connection failed';
}
