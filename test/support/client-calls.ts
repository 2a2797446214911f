import { onTestFinished } from 'vitest';
import { type ClientOptions, createCalls } from '../../deploy/client/src/calls.ts';
import { type Answerer, startAnswering } from './answering-server.ts';

/** A client of a server that gives these answers in turn, until the end of the test. */
export async function serveCalls(answerers: readonly Answerer[], options: Partial<ClientOptions> = {}) {
  const server = await startAnswering(answerers);
  onTestFinished(server.close);
  return { ...server, calls: createCalls({ baseUrl: server.url, token: 'token', deadlineMs: 10_000, ...options }) };
}

/** What a promise is rejected with. */
export async function errorOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    return { resolvedWith: await promise };
  } catch (error) {
    return error;
  }
}
