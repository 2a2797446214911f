import type { ProblemCode } from '../../client/src/generated/types.ts';
import { currentSession, operatorSession } from './session.ts';

/** What the API has refused, or that it could not be reached (status 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: ProblemCode | undefined;
  readonly requestId: string | undefined;

  constructor(status: number, problem: { detail?: string; title?: string; code?: ProblemCode; requestId?: string }) {
    super(problem.detail ?? problem.title ?? `The API answered ${status}.`);
    this.status = status;
    this.code = problem.code;
    this.requestId = problem.requestId;
  }
}

/** Asks the API with the token of whoever has signed in. Throws ApiError. */
export async function ask<T>(path: string, { signal }: { signal?: AbortSignal } = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { headers: signedHeaders(path), ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, { detail: 'The API does not answer. Is it running?' });
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, body);
  return body as T;
}

/** What operators see is asked for as an operator, everything else as a member. */
export function signedHeaders(path: string): Record<string, string> {
  const token = (path.startsWith('/operator/') ? operatorSession() : currentSession())?.token;
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}
