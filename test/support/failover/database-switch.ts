import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** One address on loopback before servers that take each other's place, as a virtual address or a pooler has it. */
export type Switch = {
  readonly port: number;
  /**
   * Ends all connections. Each new one goes to these ports in turn; with no port, it is reset at once.
   */
  leadTo(...ports: readonly number[]): void;
  close(): Promise<void>;
};

export async function startSwitch(...first: readonly number[]): Promise<Switch> {
  const sockets = new Set<Socket>();
  let ports = first;
  let count = 0;
  const server = createServer((client) => {
    const port = ports[count % ports.length];
    count += 1;
    if (port === undefined) return void client.resetAndDestroy();
    const upstream = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (data) => to.write(data));
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    leadTo(...next) {
      ports = next;
      for (const socket of sockets) socket.resetAndDestroy();
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
