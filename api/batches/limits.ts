import { CONNECTION_LIMITS } from '../http/connections.ts';
import { ApiProblem } from '../http/problems.ts';

/** What a file that is sent may take; tests have smaller ones. */
export type UploadLimits = {
  readonly rows: number;
  /** Of the file, and of the JSON of its rows. */
  readonly bytes: number;
  /** How long it may be silent, and last; in milliseconds. */
  readonly silentMs: number;
  readonly lastMs: number;
};

export const UPLOAD_LIMITS: UploadLimits = {
  rows: 1_000_000,
  bytes: 1024 * 1024 * 1024,
  silentMs: 30_000,
  lastMs: CONNECTION_LIMITS.fileMs,
};

export function tooLarge({ bytes }: UploadLimits): ApiProblem {
  return new ApiProblem('body_too_large', {
    detail: `A file, and the JSON of its rows, has at most ${bytes.toLocaleString('en')} bytes. Send the rest as another batch.`,
  });
}
