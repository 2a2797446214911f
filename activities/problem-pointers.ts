import type { z } from 'zod';
import { jsonPointer, type ProblemPointer } from './problem.ts';

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
