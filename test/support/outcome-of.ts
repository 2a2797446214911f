import { Rejection } from '../../activities/write/rejection.ts';

/** `succeeded`, or the code of the rejection that `deciding` throws. */
export function outcomeOf(deciding: () => unknown): string {
  try {
    deciding();
    return 'succeeded';
  } catch (error) {
    if (error instanceof Rejection) return error.code;
    throw error;
  }
}
