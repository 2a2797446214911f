import { GRPC, grpcCode } from './grpc.ts';

/** Temporal did not answer. The request to it may have taken effect nevertheless. */
export class TemporalUnavailable extends Error {
  constructor(cause: unknown) {
    super('Temporal did not answer', { cause });
    this.name = 'TemporalUnavailable';
  }
}

/** Wraps an outage in {@link TemporalUnavailable} and returns every other error unchanged. */
export function asUnavailable(error: unknown): unknown {
  // INVALID_ARGUMENT and the like are bugs of ours, not an outage.
  return OUTAGE_CODES.has(grpcCode(error) ?? 0) ? new TemporalUnavailable(error) : error;
}

/**
 * gRPC status codes: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, INTERNAL,
 * UNAVAILABLE. FAILED_PRECONDITION answers a start pinned to a release that the server does not know, as after it came
 * back without its data and before the release's workers have polled it.
 */
const OUTAGE_CODES = new Set([1, 2, GRPC.deadlineExceeded, 8, 9, 10, 13, 14]);
