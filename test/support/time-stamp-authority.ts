import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What is done with a request in the place of a stamp. */
export type Answer = (query: Buffer, response: ServerResponse) => void | Promise<void>;

export type TestAuthority = Awaited<ReturnType<typeof startAuthority>>;

const EXTENSIONS = `
[ root ]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[ tsa ]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[ tsa_config ]
serial = SERIAL
signer_digest = sha256
default_policy = 1.3.6.1.4.1.13762.3
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
`;

/**
 * An authority that speaks the real protocol: its stamps are made by OpenSSL, and its certificate is under a CA, which is under a
 * root. It can be told to answer otherwise.
 */
export async function startAuthority({
  isUnderCa = true,
}: {
  /** `false`: what stands between its certificate and the root may sign no certificates. */
  readonly isUnderCa?: boolean;
} = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'accubooks-tsa-'));
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => run('openssl', args, { cwd: folder });
  await writeFile(file('openssl.cnf'), EXTENSIONS.replace('SERIAL', file('serial')));
  await writeFile(file('serial'), '01\n');
  await issue('root', undefined, 'root');
  await issue('ca', 'root', isUnderCa ? 'root' : 'tsa');
  await issue('tsa', 'ca', 'tsa');

  async function issue(name: string, issuer: string | undefined, extensions: string): Promise<void> {
    await openssl('genrsa', '-out', `${name}.key`, '2048');
    await sign(name, issuer, extensions, { days: '2', to: `${name}.pem` });
  }
  async function sign(
    name: string,
    issuer: string | undefined,
    extensions: string,
    { days, to }: { readonly days: string; readonly to: string },
  ): Promise<void> {
    const signer =
      issuer === undefined ? ['-signkey', `${name}.key`] : ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`];
    await openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=Test ${name}`, '-out', `${name}.csr`);
    const how = ['-set_serial', '7', '-days', days, '-extfile', 'openssl.cnf', '-extensions', extensions];
    await openssl('x509', '-req', '-in', `${name}.csr`, ...signer, ...how, '-out', to);
  }
  async function der(name: string): Promise<Buffer> {
    return new X509Certificate(await readFile(file(name))).raw;
  }

  /** The reply to a query. */
  async function stamp(query: Buffer): Promise<Buffer> {
    const name = `${process.hrtime.bigint()}`;
    await writeFile(file(`${name}.tsq`), query);
    const who = ['-signer', 'tsa.pem', '-inkey', 'tsa.key', '-chain', 'ca.pem'];
    const made = ['-queryfile', `${name}.tsq`, '-out', `${name}.tsr`];
    await openssl('ts', '-reply', '-config', 'openssl.cnf', '-section', 'tsa_config', ...made, ...who);
    return readFile(file(`${name}.tsr`));
  }

  let answer: Answer | undefined;
  const queries: Buffer[] = [];
  // OpenSSL counts serial numbers in a file: one stamp at a time.
  let last: Promise<unknown> = Promise.resolve();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const query = Buffer.concat(chunks);
      queries.push(query);
      const isQuery = request.method === 'POST' && request.headers['content-type'] === 'application/timestamp-query';
      if (!isQuery) return void response.writeHead(415).end();
      last = last.then(() => (answer ?? stampTo)(query, response)).catch(() => response.destroy());
    });
  });
  async function stampTo(query: Buffer, response: ServerResponse): Promise<void> {
    sendReply(response, await stamp(query));
  }
  async function down(): Promise<void> {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: own } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${own}/tsr`,
    queries,
    /** The root, in PEM. */
    ca: await readFile(file('root.pem'), 'utf8'),
    stamp,
    /** Another certificate of the same name, number and key, in DER, and as long. */
    async twin(): Promise<Buffer> {
      await sign('tsa', 'ca', 'tsa', { days: '3', to: 'twin.pem' });
      return der('twin.pem');
    },
    tsaCertificate: () => der('tsa.pem'),
    openssl,
    /** Of a file of the authority's folder. */
    file,
    /** Until it is called without an argument. */
    answer(how?: Answer): void {
      answer = how;
    },
    /** Nothing listens until it is up again. */
    down,
    up: () => new Promise<void>((resolve) => server.listen(own, '127.0.0.1', resolve)),
    async close(): Promise<void> {
      await down();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function sendReply(response: ServerResponse, reply: Buffer): void {
  response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(reply);
}
