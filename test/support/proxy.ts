import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy on loopback, to take a server away from one system while the others keep it. */
export type TcpProxy = {
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** Ends every connection, and each new one at once. */
  cut(): void;
  /** Connections stay and new ones are taken, but nothing travels, in either direction. */
  freeze(): void;
  /** Everything travels this much later, in both directions. */
  delay(ms: number): void;
  /** Each connection is reset once the server has sent so many bytes on it. */
  cutAfter(bytes: number): void;
  /** As at the start; what was frozen flows on. */
  open(): void;
  close(): Promise<void>;
};

export async function startProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let state: 'open' | 'cut' | 'frozen' = 'open';
  let delayMs = 0;
  let bytesPerConnection = Number.POSITIVE_INFINITY;
  const server = createServer((client) => {
    if (state === 'cut') return void client.resetAndDestroy();
    const upstream = connect(target);
    let received = 0;
    upstream.on('data', (data) => {
      received += data.length;
      if (received > bytesPerConnection) client.resetAndDestroy();
    });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (data) => {
        if (delayMs === 0) to.write(data);
        else setTimeout(() => to.write(data), delayMs);
      });
      if (state === 'frozen') from.pause();
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const destroyAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    address: `127.0.0.1:${port}`,
    cut() {
      state = 'cut';
      destroyAll();
    },
    freeze() {
      state = 'frozen';
      for (const socket of sockets) socket.pause();
    },
    delay(ms) {
      delayMs = ms;
    },
    cutAfter(bytes) {
      bytesPerConnection = bytes;
    },
    open() {
      state = 'open';
      delayMs = 0;
      bytesPerConnection = Number.POSITIVE_INFINITY;
      for (const socket of sockets) socket.resume();
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      destroyAll();
      await closed;
    },
  };
}

/** A URL or `host:port` as it stands in the environment, led through the proxy. */
export function targetOf(address: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(address.includes('://') ? address : `tcp://${address}`);
  return { host: hostname, port: Number(port) };
}

export function through(url: string, proxy: TcpProxy): string {
  const changed = new URL(url);
  changed.host = proxy.address;
  return changed.href;
}
