import type { Problem, ProblemCode } from '../../client/src/generated/types.ts';
import { currentSession, operatorSession } from './session.ts';

/** What the API has refused, or that it could not be reached (status 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: ProblemCode | undefined;
  readonly requestId: string | undefined;
  /** All that the API has said of it. */
  readonly problem: Partial<Problem>;

  constructor(status: number, problem: Partial<Problem>) {
    super(problem.detail ?? problem.title ?? `The API answered ${status}.`);
    this.status = status;
    this.code = problem.code as ProblemCode | undefined;
    this.requestId = problem.requestId;
    this.problem = problem;
  }
}

/** What is sent, once: nothing here sends again by itself. */
type Sending = { readonly method: 'POST'; readonly body?: object };

/** Asks the API with the token of whoever has signed in. Throws ApiError. */
export async function ask<T>(
  path: string,
  { signal, send }: { readonly signal?: AbortSignal; readonly send?: Sending } = {},
): Promise<T> {
  const response = await request(path, { ...(signal && { signal }), ...(send && { send }) });
  return (await response.json()) as T;
}

/** A text of several pages, each of which names the next in its `Link` header, such as the results of a batch. */
export async function askText(
  path: string,
  { accept, onPage }: { readonly accept: string; readonly onPage?: (pages: number) => void },
): Promise<Blob> {
  const parts: Blob[] = [];
  for (let next: string | undefined = path; next !== undefined; ) {
    const response: Response = await request(next, { accept });
    parts.push(await response.blob());
    onPage?.(parts.length);
    next = /<([^>]+)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
  }
  return new Blob(parts);
}

type Asking = { readonly signal?: AbortSignal; readonly send?: Sending; readonly accept?: string };

async function request(path: string, { signal, send, accept }: Asking): Promise<Response> {
  const headers: Record<string, string> = {
    ...signedHeaders(path),
    ...(accept === undefined ? {} : { accept }),
    ...(send?.body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  let response: Response;
  try {
    response = await fetch(path, {
      headers,
      ...(signal === undefined ? {} : { signal }),
      ...(send === undefined ? {} : { method: send.method }),
      ...(send?.body === undefined ? {} : { body: JSON.stringify(send.body) }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, { detail: send === undefined ? NO_ANSWER : NOT_KNOWN });
  }
  if (response.ok) return response;
  throw new ApiError(response.status, await response.json().catch(() => ({})));
}

const NO_ANSWER = 'The API does not answer. Is it running?';
const NOT_KNOWN =
  'The API has not answered, so it is not known whether it has received this. Sending it again is safe: it happens once.';

/** What operators see is asked for as an operator, everything else as a member. */
export function signedHeaders(path: string): Record<string, string> {
  const token = (path.startsWith('/operator/') ? operatorSession() : currentSession())?.token;
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}
