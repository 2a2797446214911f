import { randomUUID } from 'node:crypto';

/** An answer as a client sees it: the bytes too, since a replay has to have the same. */
export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: each test says what it expects of a body
  readonly json: any;
  /** Carries the marker `Idempotent-Replayed: true`. */
  readonly replayed: boolean;
};

type Send = {
  /** POST when left out. */
  readonly method?: 'POST' | 'PATCH';
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
};

export type ApiClient = {
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** Sends a write; without a key it makes one. A body of type string goes as it is. */
  post(path: string, body: unknown, send?: Send): Promise<Answer>;
  /** The same, as patient as can be, and insists on 200 or 201; answers the body. */
  // biome-ignore lint/suspicious/noExplicitAny: each test says what it expects of a body
  created(path: string, body: unknown, send?: Send): Promise<any>;
  /** Anything else. */
  send(method: string, path: string, options?: { body?: string; headers?: Record<string, string> }): Promise<Answer>;
};

export function createApiClient(url: string, token: string): ApiClient {
  const authorization = `Bearer ${token}`;
  const client: ApiClient = {
    get: (path, headers = {}) => request(url + path, { headers: { authorization, ...headers } }),
    post: (path, body, { method = 'POST', key = randomUUID(), headers = {}, signal } = {}) =>
      request(url + path, {
        method,
        headers: { authorization, 'content-type': 'application/json', 'idempotency-key': key, ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...(signal === undefined ? {} : { signal }),
      }),
    async created(path, body, send = {}) {
      const sent = { key: randomUUID(), ...send, headers: { prefer: 'wait=60', ...send.headers } };
      const answer = await patiently(() => client.post(path, body, sent));
      if (answer.status !== 201 && answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.text}`);
      return answer.json;
    },
    send: (method, path, { body, headers = {} } = {}) =>
      request(url + path, { method, headers: { authorization, ...headers }, ...(body === undefined ? {} : { body }) }),
  };
  return client;
}

/** Sends again what was refused for the moment (503), as any client does: a busy machine is not a fault of the system. */
export async function patiently(send: () => Promise<Answer>): Promise<Answer> {
  for (let attempt = 1; attempt < 60; attempt += 1) {
    const answer = await send();
    if (answer.status !== 503) return answer;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return send();
}

async function request(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  const json = /\bjson/.test(response.headers.get('content-type') ?? '') && text !== '' ? JSON.parse(text) : undefined;
  return {
    status: response.status,
    headers: response.headers,
    text,
    json,
    replayed: response.headers.get('idempotent-replayed') === 'true',
  };
}
