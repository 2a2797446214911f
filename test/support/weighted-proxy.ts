import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What a gateway does with weighted backends: each request goes to one of them, in the proportion of their weights, over
 * connections that are kept. A backend that cannot be reached is a 502, which no test may see.
 */
export type WeightedProxy = {
  readonly url: string;
  /** Which backend gets how many of a hundred requests, from the next one on. */
  weigh(weights: Readonly<Record<string, number>>): void;
  /** How many requests each backend has been sent. */
  sent(): Readonly<Record<string, number>>;
  /** Resolves when none is on its way to that backend. */
  idle(name: string): Promise<void>;
  close(): Promise<void>;
};

type Backend = { url: URL; weight: number; credit: number; sent: number; open: number };

export async function startWeightedProxy(urls: Readonly<Record<string, () => string>>): Promise<WeightedProxy> {
  const agent = new Agent({ keepAlive: true });
  const backends = new Map<string, Backend>();
  const server = createServer((incoming, answer) => {
    const backend = take([...backends.values()]);
    if (backend === undefined) throw new Error('Bug! No backend has any weight');
    backend.sent += 1;
    backend.open += 1;
    answer.once('close', () => {
      backend.open -= 1;
    });
    forward(incoming, answer, backend.url, agent);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    weigh(weights) {
      for (const [name, weight] of Object.entries(weights)) {
        const before = backends.get(name) ?? { credit: 0, sent: 0, open: 0 };
        // Asked for anew: a process that was started again has another port.
        const url = new URL(urls[name]?.() ?? '');
        backends.set(name, Object.assign(before, { url, weight }));
      }
    },
    sent: () => Object.fromEntries([...backends].map(([name, { sent }]) => [name, sent])),
    async idle(name) {
      while ((backends.get(name)?.open ?? 0) > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    },
    async close() {
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Smooth weighted round robin: 10 of 100 is every tenth, not the first ten. */
function take(backends: readonly Backend[]): Backend | undefined {
  const total = backends.reduce((sum, { weight }) => sum + weight, 0);
  let chosen: Backend | undefined;
  for (const backend of backends) {
    if (backend.weight === 0) continue;
    backend.credit += backend.weight;
    if (chosen === undefined || backend.credit > chosen.credit) chosen = backend;
  }
  if (chosen !== undefined) chosen.credit -= total;
  return chosen;
}

function forward(incoming: IncomingMessage, answer: ServerResponse, to: URL, agent: Agent): void {
  const outgoing = request(
    { agent, host: to.hostname, port: to.port, method: incoming.method, path: incoming.url, headers: incoming.headers },
    (response) => {
      answer.writeHead(response.statusCode ?? 502, endToEnd(response.headers));
      response.pipe(answer);
    },
  );
  outgoing.once('error', (error) => {
    if (!answer.headersSent) answer.writeHead(502).end(`no answer from ${to.host}: ${error.message}`);
    else answer.destroy();
  });
  incoming.pipe(outgoing);
}

/** RFC 9110, section 7.6.1: what is said of one connection is not passed on to the next. */
const OF_THIS_CONNECTION = new Set(['connection', 'keep-alive', 'transfer-encoding']);

function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_THIS_CONNECTION.has(name)));
}
