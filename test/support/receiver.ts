import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Call = {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: each test says what it expects of a body
  readonly json: any;
};

/** A receiver of webhooks: it keeps what it was sent, and answers as it is told to. */
export async function startReceiver(): Promise<{
  readonly url: string;
  readonly calls: Call[];
  /** 204 to all, until this says otherwise. */
  answer(how: (call: Call, response: ServerResponse) => void): void;
  close(): Promise<void>;
}> {
  const calls: Call[] = [];
  let answer = (_call: Call, response: ServerResponse): void => void response.writeHead(204).end();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const call = { headers: request.headers, text, json: text === '' ? undefined : JSON.parse(text) };
      calls.push(call);
      answer(call, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    calls,
    answer(how) {
      answer = how;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
