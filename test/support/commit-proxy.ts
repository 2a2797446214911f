import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A proxy before PostgreSQL that can come between a COMMIT and its answer: the one moment that no client can tell. */
export type CommitProxy = {
  /** The same database, reached through the proxy. */
  readonly url: string;
  /** Does it to the next COMMIT that comes, of a transaction that contains `text`; resolves when it is done. */
  atNextCommit(what: CommitTrouble, text?: string): Promise<void>;
  close(): Promise<void>;
};

export type CommitTrouble =
  /** The server has committed, and the connection is cut before the client hears of it. */
  | 'cut the answer'
  /** The connection is cut before the server hears of the COMMIT. */
  | 'cut the commit'
  /** The server never hears of the COMMIT, and the client hears nothing on a connection that stays. */
  | 'hold the commit'
  /** The server has committed, and the client hears nothing on a connection that stays. */
  | 'hold the answer';

/** A simple query of PostgreSQL's protocol: its type, its length, its text. Small enough to travel in one piece. */
const COMMIT = Buffer.from('Q\0\0\0\x0bCOMMIT\0', 'latin1');
/** Its answer, which comes after those to the statements that travelled with it. */
const COMMITTED = Buffer.from('C\0\0\0\x0bCOMMIT\0', 'latin1');

export async function startCommitProxy(databaseUrl: string): Promise<CommitProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let armed: { what: CommitTrouble; text: string; done: () => void } | undefined;

  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    let trouble: typeof armed;
    let transaction = Buffer.of();
    let answers = Buffer.of();
    client.on('data', (data) => {
      transaction = Buffer.concat([data.includes('BEGIN ') ? Buffer.of() : transaction, data]);
      if (armed !== undefined && data.includes(COMMIT) && transaction.includes(armed.text)) {
        trouble = armed;
        armed = undefined;
        if (trouble.what.endsWith('the commit')) return finish();
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (trouble === undefined) return void client.write(data);
      answers = Buffer.concat([answers, data]);
      if (answers.includes(COMMITTED)) finish();
    });
    const finish = () => {
      if (trouble?.what.startsWith('cut')) client.destroy();
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
    atNextCommit: (what, text = '') =>
      new Promise((resolve) => {
        armed = { what, text, done: resolve };
      }),
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
