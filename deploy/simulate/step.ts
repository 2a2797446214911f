import { fingerprint } from '../../activities/identity.ts';
import { type Operation, parseInput } from '../../activities/operation.ts';
import { withOtherContent } from '../contract/requests.ts';
import type { Actor } from './requests/books.ts';
import type { Demand } from './requests/operation-model.ts';

/** One request to be sent; its place in the plan is its number. */
export type Step = {
  /** Place of the company among those of the run. */
  readonly company: number;
  readonly key: string;
  readonly as: Actor;
  /** Of that person. */
  readonly userId: string;
  readonly operation: Operation;
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly prefer?: string;
  /** Steps that must have been answered before this one is sent; all of them come before it in the plan. */
  readonly after: readonly number[];
  readonly kind: 'write' | 'duplicate' | 'mismatch' | 'cancel' | 'invalid' | 'approve' | 'reject';
  /** Sent at the same time as another request with its key that it contradicts; either of them may come first. */
  readonly atOnce?: true;
  /** The code of its answer, whichever other requests are running; of what concerns an approval, if the write has waited. */
  readonly refused?: string;
  /** Of a write: what it waits for, unless the books refuse it; nothing if empty. Undefined where that is unknown. */
  readonly asked?: readonly Demand[];
  /** A duplicate that comes when all is decided about a write that has waited: it is sent until there is an outcome. */
  readonly ends?: true;
  /** Of one that ends: whose approvals the write was executed with, in their order. */
  readonly approvedBy?: readonly string[];
  /** Of the request; null for an invalid one. */
  readonly fingerprint: string | null;
};

export function isDecision({ kind }: Step): boolean {
  return kind === 'approve' || kind === 'reject';
}

/** The same request, of which nothing is expected and preferred. */
export function again(step: Step): Step {
  const { prefer: _, ...plain } = withoutExpectation(step);
  return plain;
}

export function withoutExpectation(step: Step): Step {
  const { refused: _refused, asked: _asked, ...open } = step;
  return open;
}

export function otherContent(step: Step): Step {
  const { operation, path, body } = step;
  const write = { method: operation.method, path, token: '', key: step.key, body: JSON.stringify(body) };
  const other = withOtherContent(operation, write);
  const otherBody = JSON.parse(other.body) as Step['body'];
  return { ...step, path: other.path, body: otherBody, fingerprint: printOf(operation, other.path, otherBody) };
}

/** Computed as in the API: from the validated path parameters and body, with their defaults. */
export function printOf(operation: Operation, path: string, body: Step['body']): string {
  const names = [...operation.path.matchAll(/:(\w+)/g)].map(([, name]) => name ?? '');
  const values = new RegExp(`^${operation.path.replace(/:\w+/g, '([^/]+)')}$`).exec(path) ?? [];
  const params = Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(values[index + 1] ?? '')]));
  return fingerprint(operation.name, parseInput(operation, { params, body }) as never);
}
