import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Call = { readonly headers: IncomingHttpHeaders; readonly text: string };

/** A webhook receiver that counts the calls by `webhook-id`. */
export type Receiver = {
  readonly url: string;
  readonly callsById: ReadonlyMap<string, number>;
  close(): Promise<void>;
};

/** @param answer by default, accepts every call. */
export async function startReceiver(answer = accept): Promise<Receiver> {
  const callsById = new Map<string, number>();
  const server = createServer((request, response) => {
    const id = String(request.headers['webhook-id']);
    callsById.set(id, (callsById.get(id) ?? 0) + 1);
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => answer({ headers: request.headers, text: Buffer.concat(chunks).toString() }, response));
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

function accept(_call: Call, response: ServerResponse): void {
  response.writeHead(204).end();
}
