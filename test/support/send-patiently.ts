import { randomUUID } from 'node:crypto';
import { type Answer, type ApiClient, patiently } from './client.ts';

/** A write, sent as any client sends it: with the same key again while the machine is too busy for the moment. */
export function sendPatiently(
  api: ApiClient,
  path: string,
  body: object,
  method: 'POST' | 'PATCH' = 'POST',
): Promise<Answer> {
  const key = randomUUID();
  return patiently(() => api.post(path, body, { method, key, headers: { prefer: 'wait=60' } }));
}
