import type { Problem, ProblemCode } from '../../client/src/generated/types.ts';
import { currentSession, endSession, kindFor, NAMES, operatorSession } from './session.ts';

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
  try {
    return (await response.json()) as T;
  } catch (error) {
    throw unanswered(error, { signal, send });
  }
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

type Asking = {
  readonly signal?: AbortSignal | undefined;
  readonly send?: Sending | undefined;
  readonly accept?: string;
};

/** A read that takes longer is given up, and asked again when it is time to; but not a file. */
const READ_LIMIT_MS = 20_000;

async function request(path: string, { signal, send, accept }: Asking): Promise<Response> {
  const headers: Record<string, string> = {
    ...signedHeaders(path),
    ...(accept === undefined ? {} : { accept }),
    ...(send?.body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  const within = send === undefined && accept === undefined ? orLate(signal) : signal;
  let response: Response;
  try {
    response = await fetch(path, {
      headers,
      ...(within === undefined ? {} : { signal: within }),
      ...(send === undefined ? {} : { method: send.method }),
      ...(send?.body === undefined ? {} : { body: JSON.stringify(send.body) }),
    });
  } catch (error) {
    throw unanswered(error, { signal, send });
  }
  if (response.ok) return response;
  throw await refusalOf(path, response);
}

/** What the API says of a request that it refuses. A token that it takes no more signs out. */
export async function refusalOf(path: string, response: Response): Promise<ApiError> {
  const error = new ApiError(response.status, await response.json().catch(() => ({})));
  if (response.status === 401)
    endSession(kindFor(path), `The API does not take your token as ${NAMES[kindFor(path)]}: ${error.message}`);
  return error;
}

/** A request that got no answer, or not all of it. What has been left by `signal` is nobody's any more. */
function unanswered(error: unknown, { signal, send }: Pick<Asking, 'signal' | 'send'>): unknown {
  if (signal?.aborted) return error;
  return new ApiError(0, { detail: send === undefined ? NO_ANSWER : NOT_KNOWN });
}

function orLate(signal: AbortSignal | undefined): AbortSignal {
  const late = AbortSignal.timeout(READ_LIMIT_MS);
  return signal === undefined ? late : AbortSignal.any([signal, late]);
}

const NO_ANSWER = 'The API does not answer. Is it running?';
const NOT_KNOWN =
  'The API has not answered, so it is not known whether it has received this. Sending it again is safe: it happens once.';

/** With the token that the page was loaded with. */
export function signedHeaders(path: string): Record<string, string> {
  const token = (kindFor(path) === 'operator' ? operatorSession() : currentSession())?.token;
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}
