import { z } from 'zod';
import { ApiProblem } from './problems.ts';

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
