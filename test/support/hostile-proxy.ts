import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom, pickWeighted, seededNumbers } from '../../deploy/simulate/requests/random.ts';

/**
 * A gateway that does to requests and answers whatever a network can do, at random from a seed. What it forwards, it forwards
 * whole: the service behind it never sees half of a request.
 */
export type HostileProxy = {
  readonly url: string;
  /** How often it did each. */
  readonly done: Readonly<Record<Fault, number>>;
  /** Resolves when nothing is on its way any more, requests that it repeats later included. */
  settled(): Promise<void>;
  close(): Promise<void>;
};

/** Of a hundred requests. The first part is before, and the second after the service has had the request. */
const FAULTS = [
  ['forwarded', 55],
  ['connection cut before', 5],
  ['502 before', 4],
  ['429 before', 2],
  ['delayed', 6],
  ['connection cut in flight', 6],
  ['answer lost', 6],
  ['answer cut in the middle', 4],
  ['half an answer in a whole frame', 3],
  ['503 instead of the answer', 3],
  ['sent twice at once', 3],
  ['sent again later', 3],
] as const;
type Fault = (typeof FAULTS)[number][0];

const MAX_DELAY_MS = 500;
const MAX_LATER_MS = 3_000;

export async function startHostileProxy(target: string, seed: string): Promise<HostileProxy> {
  const agent = new Agent({ keepAlive: true });
  const random = createRandom(seededNumbers(seed), 0);
  const done = Object.fromEntries(FAULTS.map(([fault]) => [fault, 0])) as Record<Fault, number>;
  const underWay = new Set<Promise<unknown>>();
  const track = <T>(promise: Promise<T>): Promise<T> => {
    underWay.add(promise);
    void promise.catch(() => undefined).finally(() => underWay.delete(promise));
    return promise;
  };

  const server = createServer((incoming, response) => {
    void track(handle(incoming, response).catch(() => response.destroy()));
  });
  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const fault = pickWeighted(random, FAULTS) as Fault;
    const laterMs = random.nat(MAX_LATER_MS);
    const delayMs = random.nat(MAX_DELAY_MS);
    const whole = { incoming, body: await buffer(incoming) };
    done[fault] += 1;
    if (fault === 'connection cut before') return void response.destroy();
    if (fault === '502 before') return page(response, 502);
    if (fault === '429 before') return page(response, 429, { 'retry-after': '1' });
    if (fault === 'delayed') await sleep(delayMs);
    const answered = forward(target, whole, agent);
    if (fault === 'connection cut in flight') {
      response.destroy();
      return void (await answered);
    }
    if (fault === 'sent twice at once') void track(forward(target, whole, agent));
    const answer = await answered;
    if (fault === 'sent again later') void track(sleep(laterMs).then(() => forward(target, whole, agent)));
    if (fault === 'answer lost') return void response.destroy();
    if (fault === '503 instead of the answer') return page(response, 503);
    if (fault === 'half an answer in a whole frame') {
      const { 'content-length': _, ...headers } = answer.headers;
      return void response.writeHead(answer.status, headers).end(answer.body.subarray(0, answer.body.length / 2));
    }
    response.writeHead(answer.status, answer.headers);
    if (fault !== 'answer cut in the middle') return void response.end(answer.body);
    response.write(answer.body.subarray(0, answer.body.length / 2), () => response.destroy());
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    done,
    async settled() {
      while (underWay.size > 0) await Promise.allSettled(underWay);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      agent.destroy();
    },
  };
}

function page(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'text/html', ...headers }).end('<html><body>Sorry</body></html>');
}

function forward(
  target: string,
  { incoming, body }: { readonly incoming: IncomingMessage; readonly body: Buffer },
  agent: Agent,
) {
  const { host: _, 'content-length': __, 'transfer-encoding': ___, connection: ____, ...headers } = incoming.headers;
  return new Promise<{ status: number; headers: Record<string, string | string[]>; body: Buffer }>(
    (resolve, reject) => {
      const sent = request(target + (incoming.url ?? ''), { method: incoming.method, headers, agent }, (answer) => {
        const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...received } = answer.headers;
        buffer(answer).then(
          (whole) =>
            resolve({
              status: answer.statusCode ?? 0,
              headers: Object.fromEntries(
                Object.entries(received).filter(
                  (header): header is [string, string | string[]] => header[1] !== undefined,
                ),
              ),
              body: whole,
            }),
          reject,
        );
      });
      sent.on('error', reject);
      if (body.length > 0) sent.setHeader('content-length', body.length);
      sent.end(body);
    },
  );
}
