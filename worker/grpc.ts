import { isGrpcServiceError } from '@temporalio/client';

/** The gRPC status codes that the code distinguishes (https://grpc.io/docs/guides/status-codes). */
export const GRPC = { deadlineExceeded: 4, notFound: 5 } as const;

/** The status code of a failed call; the SDK wraps gRPC's error in one of its own. Undefined for every other error. */
export function grpcCode(error: unknown): number | undefined {
  if (isGrpcServiceError(error)) return error.code;
  return error instanceof Error && isGrpcServiceError(error.cause) ? error.cause.code : undefined;
}

/**
 * The same for calls of `workflowService` itself, whose errors may be plain ones with a `code`. Not for deciding whether
 * Temporal is unavailable: errors of other origin have codes, too.
 */
export function serviceCallCode(error: unknown): number | undefined {
  const code = grpcCode(error) ?? (error as { code?: unknown } | null)?.code;
  return typeof code === 'number' ? code : undefined;
}
