import { createServer } from 'node:net';

/** A port of the loopback interface on which nothing listens right now. */
export function freeLoopbackPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('Bug! A TCP server without a port'));
        else resolve(address.port);
      });
    });
  });
}
