import { createServer, Socket } from 'node:net';

const HOST = '127.0.0.1';
const PORTS_TO_TRY = 200;

/** The first free port at or above `from`; `taken` are ports reserved for servers that do not listen yet. */
export async function firstFreePort(from: number, taken: readonly number[] = []): Promise<number> {
  for (let port = from; port < from + PORTS_TO_TRY && port <= 65_535; port += 1) {
    if (!taken.includes(port) && (await isPortFree(port))) return port;
  }
  throw new Error(`No free port between ${from} and ${from + PORTS_TO_TRY - 1} on ${HOST}.`);
}

export async function isPortFree(port: number, host: string = HOST): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

export async function acceptsConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = new Socket();
    const done = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.setTimeout(1_000, () => done(false));
    socket.once('error', () => done(false));
    socket.connect(port, HOST, () => done(true));
  });
}
