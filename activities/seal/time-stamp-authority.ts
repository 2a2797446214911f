import type { SignedHead } from '../../workflows/seal-messages.ts';
import { checkReply, stampRequest, trustedRoots } from './rfc3161.ts';
import { type HeadWitness, WitnessFault } from './witness.ts';

/** A reply has a token and a few certificates. */
const MAX_REPLY_BYTES = 64 * 1024;

export type AuthoritySettings = {
  /** A name and a password in it are sent as `Authorization: Basic`. */
  readonly url: string;
  /** In PEM; without it anybody's stamp counts as the authority's. */
  readonly ca?: string | undefined;
  /** For the whole exchange. */
  readonly timeoutMs: number;
};

/** A time-stamp authority by HTTP (RFC 3161, section 3.4). */
export function timeStampAuthority({ url, ca, timeoutMs }: AuthoritySettings): HeadWitness {
  const roots = ca === undefined ? undefined : trustedRoots(ca);
  return {
    kind: 'time-stamp',
    async witness({ head }: SignedHead) {
      const request = stampRequest(head);
      const reply = await post(url, request.bytes, AbortSignal.timeout(timeoutMs)).catch((error: unknown) => {
        throw error instanceof WitnessFault ? error : unreachable(describe(error), error);
      });
      const { publishedAt } = JSON.parse(head) as { publishedAt: string };
      return checkReply(reply, { request, text: head, roots, notBefore: new Date(publishedAt) });
    },
  };
}

async function post(url: string, body: Buffer, signal: AbortSignal): Promise<Buffer> {
  const { username, password, origin, pathname, search } = new URL(url);
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  const response = await fetch(`${origin}${pathname}${search}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/timestamp-query',
      accept: 'application/timestamp-reply',
      ...(username === '' ? {} : { authorization: `Basic ${credentials}` }),
    },
    body: Uint8Array.from(body),
    // Another host would see what this one was meant to.
    redirect: 'manual',
    signal,
  });
  const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (response.status !== 200 || type !== 'application/timestamp-reply') {
    await response.body?.cancel();
    throw unreachable(`it has answered ${response.status} with ${type ?? 'no content type'}`);
  }
  return read(response);
}

async function read({ body }: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > MAX_REPLY_BYTES) throw unreachable('its reply is longer than 64 KiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** `fetch` says only that it has failed, and why in its cause. */
function describe(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return 'it has not answered in time';
  return cause instanceof Error ? cause.message : message;
}

function unreachable(reason: string, cause?: unknown): WitnessFault {
  return new WitnessFault('unreachable', `The time-stamp authority cannot be used: ${reason}`, { cause });
}
