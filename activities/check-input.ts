import type { Input, Operation } from './operation.ts';
import type { ProblemPointer } from './problem.ts';
import { problemPointers } from './problem-pointers.ts';

export const INPUT_REFUSED = 'The request does not match the schema; errors[] names each member.';

/** Parses path and body with the operation's schemas. Tells every problem, each with its JSON pointer. */
export function checkInput(
  operation: Operation,
  { params, body }: { readonly params: unknown; readonly body: unknown },
): { readonly input: Input } | { readonly errors: readonly ProblemPointer[] } {
  const path = operation.params.safeParse(params);
  const content = operation.body.safeParse(body);
  if (path.success && content.success) return { input: { params: path.data, body: content.data } };
  return { errors: [...problemPointers('path', path.error), ...problemPointers('body', content.error)] };
}
