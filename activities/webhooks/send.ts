import { lookup } from 'node:dns/promises';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import { isPublicAddress } from './addresses.ts';
import { hostOf, webhookUrlFault } from './url.ts';

export type Sending = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Local use only: any address, http and any port. */
  readonly allowPrivate: boolean;
};

/** `gone`: the receiver says that it wants no more calls (410). */
export type Sent = { readonly error: string | undefined; readonly status: number | null; readonly gone: boolean };

const TIME_LIMIT_MS = 5_000;
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Calls a webhook once. The name is resolved here, each of its addresses has to be a public one, and the connection goes to
 * that very address: whatever the name says a moment later. No redirect is followed, no proxy used. Never throws.
 */
export async function sendWebhook(sending: Sending): Promise<Sent> {
  const limit = AbortSignal.timeout(TIME_LIMIT_MS);
  try {
    const status = await Promise.race([call(sending, limit), aborted(limit)]);
    return { error: faultOfStatus(status), status, gone: status === 410 };
  } catch (error) {
    const late = limit.aborted ? `No answer within ${TIME_LIMIT_MS / 1000} seconds` : undefined;
    return { error: late ?? describe(error), status: null, gone: false };
  }
}

async function call(sending: Sending, signal: AbortSignal): Promise<number> {
  const fault = webhookUrlFault(sending.url, sending.allowPrivate);
  if (fault !== undefined) throw new WebhookError(fault);
  return post(sending, await resolveChecked(sending), signal);
}

async function resolveChecked({ url, allowPrivate }: Sending): Promise<string> {
  const host = hostOf(url);
  const addresses = isIP(host) === 0 ? (await lookup(host, { all: true })).map(({ address }) => address) : [host];
  const [first] = addresses;
  if (first === undefined) throw new WebhookError('The name has no address');
  // One that is not public among public ones is a name that means to be let in.
  if (!allowPrivate && !addresses.every(isPublicAddress)) {
    throw new WebhookError('The name has an address that is not public');
  }
  return first;
}

function post({ url, headers, body }: Sending, address: string, signal: AbortSignal): Promise<number> {
  const { protocol, port, pathname, search, host, hostname } = new URL(url);
  const request = protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: address,
        // The certificate is asked for, and checked, by the name.
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
          if (bytes > MAX_ANSWER_BYTES) answer.destroy(new WebhookError('The answer is longer than 64 KiB'));
        });
        answer.on('error', reject);
        answer.on('end', () => resolve(answer.statusCode ?? 0));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function faultOfStatus(status: number): string | undefined {
  if (status >= 200 && status < 300) return undefined;
  return status >= 300 && status < 400 ? `Answered ${status}: redirects are not followed` : `Answered ${status}`;
}

class WebhookError extends Error {}

/** What the company may know of it: our own words, or the code of what the network said. */
function describe(error: unknown): string {
  if (error instanceof WebhookError) return error.message;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? `The connection failed (${code})` : 'The connection failed';
}

/** Name resolution knows no signal: it is left behind. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('Too late')), { once: true });
  });
}
