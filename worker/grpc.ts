import { isGrpcServiceError } from '@temporalio/client';

/** The gRPC status codes that the code distinguishes (https://grpc.io/docs/guides/status-codes). */
export const GRPC = { deadlineExceeded: 4, notFound: 5 } as const;

/** The status code of a failed call; the SDK wraps gRPC's error in one of its own. */
export function grpcCode(error: unknown): number | undefined {
  if (isGrpcServiceError(error)) return error.code;
  if (error instanceof Error && isGrpcServiceError(error.cause)) return error.cause.code;
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'number' ? code : undefined;
}
