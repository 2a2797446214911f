import { z } from 'zod';
import { jsonPointer, type ProblemPointer } from '../../activities/problem.ts';
import { ApiProblem } from './problems.ts';

/** More than these help nobody; a body of 1 MiB can have hundreds of thousands of unknown members. */
const MAX_POINTERS = 100;

/** What a schema refuses in one part of a request: each problem with its JSON pointer, each unknown member by its own. */
export function problemPointers(location: 'path' | 'query' | 'body', error: z.ZodError | undefined): ProblemPointer[] {
  const unknown = `is not a ${location === 'body' ? 'member of this request' : 'parameter of this route'}`;
  return (error?.issues ?? [])
    .flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.slice(0, MAX_POINTERS).map((name) => ({ path: [...issue.path, name], message: unknown }))
        : [{ path: issue.path, message: issue.message }],
    )
    .slice(0, MAX_POINTERS)
    .map(({ path, message }) => ({ in: location, pointer: jsonPointer(path), message }));
}

/** `validation_failed` of one thing: `The path must be …`. */
export function invalidPart(location: 'path' | 'body', pointer: string, message: string): ApiProblem {
  return new ApiProblem('validation_failed', {
    detail: `The ${location} ${message}.`,
    errors: [{ in: location, pointer, message }],
  });
}

/** For routes that take no body. */
export function refuseBody(body: unknown): void {
  if (body === undefined || z.strictObject({}).safeParse(body).success) return;
  throw invalidPart('body', '', 'must be omitted or be {}');
}
