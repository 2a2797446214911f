import type { Operation } from '../../activities/operation.ts';
import type { NextAction } from '../../activities/problem.ts';
import { PROBLEMS, type ProblemCode } from '../http/problems.ts';
import { READS } from '../reads/read-list.ts';
import { BATCH_NOT_FOUND } from './batch-routes.ts';
import { ERROR_HELP } from './error-help.ts';
import { COMPANY_NOT_FOUND } from './operator-routes.ts';
import type { PossibleProblem } from './problem-responses.ts';
import { readProblems } from './read-routes.ts';

/** A code and everything that a client has to know about it, for `/docs/errors` and the reference. */
export type ErrorEntry = {
  readonly code: string;
  readonly meaning: string;
  readonly next: string;
  /** Several routes can return one code, each with its own status. */
  readonly uses: readonly ErrorUse[];
};

export type ErrorUse = {
  readonly where: string;
  readonly status: number;
  readonly title: string;
  /** It is the final outcome of its key: every retry returns it. */
  readonly stored: boolean;
  readonly retryable: boolean;
  readonly nextAction: NextAction;
};

/** Each code that any route can return: the API's own first, then those of operations and reads in alphabetical order. */
export function errorCatalog(operations: readonly Operation[]): readonly ErrorEntry[] {
  const entries = new Map<string, ErrorEntry>(
    Object.keys(PROBLEMS).map((code) => [code, ownEntry(code as ProblemCode)]),
  );
  const further = [...rejectionUses(operations), ...readUses(), batchNotFound(), companyNotFound()].sort(
    ([one], [other]) => (one < other ? -1 : 1),
  );
  for (const [code, use] of further) {
    const known = entries.get(code);
    const uses = [...(known?.uses ?? []), use];
    entries.set(code, { code, ...(code in ERROR_HELP ? ERROR_HELP[code as ProblemCode] : explain(uses)), uses });
  }
  return [...entries.values()];
}

/** Codes of the API itself that are stored as the outcome of their key. */
const STORED_TOO: Partial<Record<ProblemCode, ErrorUse>> = {
  forbidden: {
    ...PROBLEMS.forbidden,
    where: 'a write, when its transaction checks the role',
    stored: true,
    nextAction: 'use_new_key',
  },
};
const ALWAYS_STORED = new Set<ProblemCode>(['write_cancelled', 'approval_rejected', 'approval_expired']);

function ownEntry(code: ProblemCode): ErrorEntry {
  const use = { ...PROBLEMS[code], where: 'any request', stored: ALWAYS_STORED.has(code) };
  const stored = STORED_TOO[code];
  return { code, ...ERROR_HELP[code], uses: stored === undefined ? [use] : [use, stored] };
}

function rejectionUses(operations: readonly Operation[]): [string, ErrorUse][] {
  return operations.flatMap(({ name, rejections }) =>
    Object.entries(rejections).map(([code, { status, title, nextAction = 'use_new_key' }]): [string, ErrorUse] => [
      code,
      { where: name, status, title, stored: true, retryable: false, nextAction },
    ]),
  );
}

function readUses(): [string, ErrorUse][] {
  return READS.flatMap((read) =>
    readProblems(read)
      .filter(({ code }) => !(code in PROBLEMS))
      .map(({ code, status, title }): [string, ErrorUse] => [
        code,
        { where: `GET ${read.path}`, status, title, stored: false, retryable: false, nextAction: 'none' },
      ]),
  );
}

function batchNotFound(): [string, ErrorUse] {
  return notThere(BATCH_NOT_FOUND, 'GET /api/batches/{key}');
}

function companyNotFound(): [string, ErrorUse] {
  return notThere(COMPANY_NOT_FOUND, 'GET /operator/companies/{companyId}/writes');
}

function notThere({ code, status, title }: PossibleProblem, where: string): [string, ErrorUse] {
  return [code, { where, status, title, stored: false, retryable: false, nextAction: 'none' }];
}

/** A derived code is explained by its titles; the advice follows from each `nextAction` that it can carry. */
function explain(uses: readonly ErrorUse[]): { meaning: string; next: string } {
  const titles = [...new Set(uses.map(({ title }) => title))];
  const actions = [...new Set(uses.map(({ nextAction }) => nextAction))];
  const next = actions.map((action) =>
    actions.length === 1 ? NEXT[action] : `With nextAction ${action}: ${NEXT[action]}`,
  );
  const stored = uses.some((use) => use.stored);
  return {
    meaning: `${titles.join('. ')}.${stored ? ' The detail says more, and errors[] names the member.' : ''}`,
    next: next.join(' '),
  };
}

const NEXT: Readonly<Record<NextAction, string>> = {
  fix_request:
    'Correct the request and send it with a new key. The outcome of this key is final, and every retry returns it.',
  use_new_key:
    'Every retry with this key returns the same answer. When the cause is gone, send the request with a new key.',
  retry_same_key: 'Send the same request with the same key again.',
  wait: 'Wait, then send the same request with the same key again.',
  none: 'Nothing was changed. Compare the ID with the list of that resource.',
};
