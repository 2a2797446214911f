import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A proxy before PostgreSQL that can come between a COMMIT and its answer: the one moment that no client can tell. */
export type CommitProxy = {
  /** The same database, reached through the proxy. */
  readonly url: string;
  /** Does it to the next COMMIT that comes; resolves when it is done. */
  atNextCommit(what: CommitTrouble): Promise<void>;
  close(): Promise<void>;
};

export type CommitTrouble =
  /** The server has committed, and the connection is cut before the client hears of it. */
  | 'cut the answer'
  /** The connection is cut before the server hears of the COMMIT. */
  | 'cut the commit'
  /** The server has committed, and the client hears nothing on a connection that stays. */
  | 'hold the answer';

/** A simple query of PostgreSQL's protocol: its type, its length, its text. Small enough to travel in one piece. */
const COMMIT = Buffer.from('Q\0\0\0\x0bCOMMIT\0', 'latin1');

export async function startCommitProxy(databaseUrl: string): Promise<CommitProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let armed: { what: CommitTrouble; done: () => void } | undefined;

  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    let trouble: typeof armed;
    client.on('data', (data) => {
      if (armed !== undefined && data.includes(COMMIT)) {
        trouble = armed;
        armed = undefined;
        if (trouble.what === 'cut the commit') return finish();
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (trouble === undefined) client.write(data);
      else finish(); // what came is the answer to the COMMIT
    });
    const finish = () => {
      if (trouble?.what !== 'hold the answer') client.destroy();
      trouble?.done();
    };
    for (const [socket, peer] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        peer.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: url.href,
    atNextCommit: (what) =>
      new Promise((resolve) => {
        armed = { what, done: resolve };
      }),
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
