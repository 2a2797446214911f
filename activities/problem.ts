import type { FailedControl } from '../workflows/event-messages.ts';

/**
 * Problem details (RFC 9457), the body of every error. Defined here because the transaction that rejects a write stores
 * this body; the table of the API's own codes is `api/http/problems.ts`.
 */
export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  /** Stable and unique, for programs to branch on. */
  readonly code: string;
  readonly retryable: boolean;
  readonly nextAction: NextAction;
  /** Not in a stored body, which is replayed byte for byte to other requests. */
  readonly requestId?: string;
  readonly errors?: readonly ProblemPointer[];
  readonly differences?: readonly ProblemPointer[];
  readonly writeUrl?: string;
  /** Of `controls_failed`: the controls that do not hold, and the steps that are not done. */
  readonly failed?: readonly FailedControl[];
};

/** The members that an operation may add to the problem of a rejection. */
export type RejectionMembers = Pick<Problem, 'failed'>;

export type NextAction = 'fix_request' | 'retry_same_key' | 'wait' | 'use_new_key' | 'none';

export type ProblemPointer = {
  readonly in: 'body' | 'path' | 'query' | 'header' | 'operation';
  /** A JSON pointer (RFC 6901) that starts in that part. */
  readonly pointer: string;
  readonly message?: string;
  /** Of a batch, the row of the file that it is about, from 1. */
  readonly row?: number;
};

/** The JSON pointer of a member (RFC 6901), from the names on the path to it. */
export function jsonPointer(names: readonly PropertyKey[]): string {
  return names.map((name) => `/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** The names of a pointer made by {@link jsonPointer}. */
export function namesOf(pointer: string): string[] {
  const [, ...names] = pointer.split('/');
  return names.map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The page that explains a code; a relative reference, so that it is valid behind any host name. */
export function problemType(code: string): string {
  return `/docs/errors#${code}`;
}

/** The URL of a write's status resource; the key is one percent-encoded path segment. */
export function writeUrl(idempotencyKey: string): string {
  return `/api/writes/${encodeURIComponent(idempotencyKey)}`;
}
