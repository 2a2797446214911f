import { GRPC, grpcCode } from '../../worker/grpc.ts';

/** Temporal did not answer; what was asked of it may have happened nevertheless. */
export class TemporalUnavailable extends Error {
  constructor(cause: unknown) {
    super('Temporal did not answer', { cause });
    this.name = 'TemporalUnavailable';
  }
}

/** An outage as {@link TemporalUnavailable}; anything else as it is. */
export function asUnavailable(error: unknown): unknown {
  // INVALID_ARGUMENT and its like are our own mistakes and no outage.
  return OUTAGE_CODES.has(grpcCode(error) ?? 0) ? new TemporalUnavailable(error) : error;
}

/**
 * gRPC status codes: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, INTERNAL,
 * UNAVAILABLE. The fifth is for a start that is pinned to a release which a server that came back empty has not met yet.
 */
const OUTAGE_CODES = new Set([1, 2, GRPC.deadlineExceeded, 8, 9, 10, 13, 14]);
