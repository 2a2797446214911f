import type { FastifyInstance } from 'fastify';
import type { ApiContext } from '../app.ts';
import type { RateLimit } from '../rate-limit.ts';

export type ReadContext = ApiContext & {
  /** Cancelling counts against the limit of new writes. */
  readonly newWrites: RateLimit;
  readonly reads: RateLimit;
};

/** Every route that reads, and the cancel of a write. */
export function registerReads(_app: FastifyInstance, _context: ReadContext): void {}
