import { CONNECTION_LIMITS } from '../http/connections.ts';

/** What a file that is sent may take; tests have smaller ones. */
export type UploadLimits = {
  readonly rows: number;
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
