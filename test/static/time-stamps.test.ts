import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { checkReply, stampRequest, trustedRoots } from '../../activities/seal/rfc3161.ts';
import { timeStampAuthority } from '../../activities/seal/time-stamp-authority.ts';
import { isStampOf } from '../../deploy/console/page/proof.ts';
import { type ConfigError, readWorkerConfig } from '../../worker/config.ts';
import { sendReply, startAuthority, type TestAuthority } from '../support/time-stamp-authority.ts';

const HEAD = { head: JSON.stringify({ publishedAt: new Date().toISOString() }), keyId: 'key', signature: '' };

let authority: TestAuthority;
let other: TestAuthority;
beforeAll(async () => {
  [authority, other] = await Promise.all([startAuthority(), startAuthority({ isUnderCa: false })]);
});
afterEach(() => authority.answer());
afterAll(() => Promise.all([authority.close(), other.close()]));

function witness(changes: Partial<Parameters<typeof timeStampAuthority>[0]> = {}) {
  return timeStampAuthority({ url: authority.url, ca: authority.ca, timeoutMs: 30_000, ...changes });
}

/** What OpenSSL says of a token. */
async function verify(token: Buffer, text: string): Promise<string> {
  await writeFile(authority.file('token.der'), token);
  await writeFile(authority.file('head'), text);
  const { stdout, stderr } = await authority.openssl(
    ...['ts', '-verify', '-data', 'head', '-in', 'token.der', '-token_in', '-CAfile', 'root.pem'],
  );
  return `${stdout}${stderr}`;
}

test('OpenSSL verifies the token of a head, and not with another head', async () => {
  const { bytes, at } = await witness().witness(HEAD);
  expect(await verify(bytes, HEAD.head)).toContain('Verification: OK');
  await expect(verify(bytes, `${HEAD.head} `)).rejects.toThrow(/imprint mismatch/i);
  // As the console reads it.
  const timeStamp = bytes.toString('base64');
  expect(await isStampOf({ ...HEAD, timeStamp })).toBe(true);
  expect(await isStampOf({ ...HEAD, head: `${HEAD.head} `, timeStamp })).toBe(false);
  expect(Math.abs(at.getTime() - Date.parse(JSON.parse(HEAD.head).publishedAt))).toBeLessThan(10 * 60_000);
});

test('the request has the digest, a nonce of its own, and asks for the certificate', async () => {
  const [one, two] = [stampRequest('head'), stampRequest('head')];
  expect(one.nonce.equals(two.nonce)).toBe(false);
  await writeFile(authority.file('own.tsq'), one.bytes);
  const { stdout } = await authority.openssl('ts', '-query', '-in', 'own.tsq', '-text');
  expect(stdout).toContain('Hash Algorithm: sha256');
  expect(stdout).toContain('Certificate required: yes');
  expect(stdout.toLowerCase()).toContain(`nonce: 0x${one.nonce.toString('hex')}`);
});

test('without a CA a stamp of any authority is kept', async () => {
  const { bytes } = await witness({ url: other.url, ca: undefined }).witness(HEAD);
  expect(bytes.length).toBeGreaterThan(1_000);
});

/** Puts other bytes in the place of the last such ones. */
function replaced(reply: Buffer, from: string, to: string): Buffer {
  const at = reply.lastIndexOf(Buffer.from(from, 'hex'));
  expect(at).toBeGreaterThan(0);
  const made = Buffer.from(reply);
  made.set(Buffer.from(to, 'hex'), at);
  return made;
}

describe('what is no stamp on this head by this authority is not kept', () => {
  const REFUSED = Buffer.from('30053003020102', 'hex');
  const PLANTS: Readonly<Record<string, readonly [(query: Buffer) => Promise<Buffer> | Buffer, RegExp]>> = {
    'a stamp on another text': [
      (query) => authority.stamp(replaced(query, stampRequest(HEAD.head).digest.toString('hex'), 'ab'.repeat(32))),
      /it is of another text/,
    ],
    'the answer to another request': [
      () => authority.stamp(stampRequest(HEAD.head).bytes),
      /it answers another request/,
    ],
    'an answer without a nonce': [
      async () => {
        await writeFile(authority.file('head'), HEAD.head);
        await authority.openssl('ts', '-query', '-data', 'head', '-sha256', '-cert', '-no_nonce', '-out', 'bare.tsq');
        return authority.stamp(await readFile(authority.file('bare.tsq')));
      },
      /it answers another request/,
    ],
    'a refusal': [() => REFUSED, /status 2/],
    'a stamp of an authority that nobody believes': [
      (query) => other.stamp(query),
      /leads to none of SEAL_TIMESTAMP_CA/,
    ],
    'a signature that was changed': [
      async (query) => {
        const reply = await authority.stamp(query);
        reply[reply.length - 1] = (reply.at(-1) as number) ^ 1;
        return reply;
      },
      /its signature does not hold/,
    ],
    'a certificate for another purpose': [
      async (query) => replaced(await authority.stamp(query), '06082b06010505070308', '06082b06010505070301'),
      /not for time stamps alone/,
    ],
    'the certificate of a twin with the same name and key': [
      async (query) => {
        const reply = await authority.stamp(query);
        const [own, twin] = [await authority.tsaCertificate(), await authority.twin()];
        return replaced(reply, own.toString('hex'), twin.toString('hex'));
      },
      /names another certificate/,
    ],
    'a reply that is cut off': [
      async (query) => (await authority.stamp(query)).subarray(0, -1),
      /no reply of RFC 3161/,
    ],
    'a reply with something behind it': [
      async (query) => Buffer.concat([await authority.stamp(query), Buffer.of(0)]),
      /no reply of RFC 3161/,
    ],
    garbage: [() => Buffer.from('<html>Welcome</html>'), /no reply of RFC 3161/],
    nothing: [() => Buffer.alloc(0), /no reply of RFC 3161/],
    'too much': [() => Buffer.alloc(65 * 1024, 0x30), /longer than 64 KiB/],
  };

  test.each(Object.entries(PLANTS))('%s', async (_what, [make, message]) => {
    authority.answer(async (query, response) => sendReply(response, await make(query)));
    await expect(witness().witness(HEAD)).rejects.toThrow(message);
  });

  test('a certificate under one that may sign none', async () => {
    const asked = witness({ url: other.url, ca: other.ca }).witness(HEAD);
    await expect(asked).rejects.toThrow(/its certificate is not valid: .*not a CA certificate/);
  });

  test('a stamp of long before the head', async () => {
    const request = stampRequest(HEAD.head);
    const reply = await authority.stamp(request.bytes);
    const facts = { request, text: HEAD.head, roots: trustedRoots(authority.ca) };
    const inAnHour = new Date(Date.now() + 3_600_000);
    await expect(checkReply(reply, { ...facts, notBefore: inAnHour })).rejects.toThrow(/its time is/);
    await checkReply(reply, { ...facts, notBefore: new Date() });
  });
});

describe('an authority that does not answer as one', () => {
  test('one that hangs is given up', async () => {
    authority.answer(() => undefined);
    await expect(witness({ timeoutMs: 300 }).witness(HEAD)).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringMatching(/has not answered in time/),
    });
  });

  test('one that hangs within its reply is given up', async () => {
    authority.answer((_query, response) => {
      response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).write('0');
    });
    await expect(witness({ timeoutMs: 300 }).witness(HEAD)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test.each([
    ['an error', (status: number) => status, 503],
    ['a redirect', (status: number) => status, 302],
  ])('%s is none', async (_what, of, status) => {
    authority.answer((_query, response) => void response.writeHead(of(status), { location: other.url }).end());
    const before = other.queries.length;
    await expect(witness().witness(HEAD)).rejects.toThrow(`it has answered ${status}`);
    expect(other.queries).toHaveLength(before);
  });

  test('a page is none', async () => {
    authority.answer((_query, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('Hello'));
    await expect(witness().witness(HEAD)).rejects.toThrow('it has answered 200 with text/html');
  });

  test('one that is not there is said to be so, without its password', async () => {
    const url = 'http://user:secret@127.0.0.1:1/tsr';
    const error = await witness({ url })
      .witness(HEAD)
      .catch((fault: Error) => fault);
    expect(error).toMatchObject({ kind: 'unreachable' });
    expect((error as Error).message).not.toContain('secret');
  });
});

test('a name and a password of the URL are sent as a header', async () => {
  let authorization: string | undefined;
  authority.answer(async (query, response) => {
    authorization = response.req.headers.authorization;
    sendReply(response, await authority.stamp(query));
  });
  await witness({ url: authority.url.replace('//', '//user:p%40ss@') }).witness(HEAD);
  expect(authorization).toBe(`Basic ${Buffer.from('user:p@ss').toString('base64')}`);
});

test('what has no certificate is no CA', () => {
  expect(() => trustedRoots('-----BEGIN PRIVATE KEY-----')).toThrow(/no certificate/);
  expect(() => trustedRoots('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----')).toThrow(
    /asn1|PEM|wrong tag|too long/i,
  );
});

test('the settings are checked at the start', () => {
  const problemsOf = (environment: Readonly<Record<string, string>>): readonly string[] => {
    try {
      readWorkerConfig(environment);
      return [];
    } catch (error) {
      return (error as ConfigError).problems.filter((problem) => problem.startsWith('SEAL_'));
    }
  };
  for (const url of ['authority.test/tsr', 'ftp://authority.test', 'http:']) {
    expect(problemsOf({ SEAL_TIMESTAMP_URL: url })).toEqual(['SEAL_TIMESTAMP_URL: must be an http or https URL']);
  }
  expect(problemsOf({ SEAL_TIMESTAMP_URL: authority.url, SEAL_TIMESTAMP_CA: authority.ca })).toEqual([]);
  for (const ca of [authority.file('root.pem'), `${authority.ca.slice(0, 80)}\n-----END CERTIFICATE-----`]) {
    expect(problemsOf({ SEAL_TIMESTAMP_CA: ca })).toEqual(['SEAL_TIMESTAMP_CA: must be certificates in PEM']);
  }
});
