import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A webhook receiver that accepts every call and counts the calls by `webhook-id`. */
export type Receiver = {
  readonly url: string;
  readonly callsById: ReadonlyMap<string, number>;
  close(): Promise<void>;
};

export async function startReceiver(): Promise<Receiver> {
  const callsById = new Map<string, number>();
  const server = createServer((request, response) => {
    const id = String(request.headers['webhook-id']);
    callsById.set(id, (callsById.get(id) ?? 0) + 1);
    request.resume();
    request.on('end', () => response.writeHead(204).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    callsById,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
