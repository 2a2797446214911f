import { batchWorkflowId as workflowId } from '../../workflows/batch-messages.ts';
import { sha256Base64Url } from '../identity.ts';
import { uuidV5 } from '../uuid-v5.ts';

/** The UUIDv5 namespaces of batches and of their rows; they must never change. */
const BATCH_NAMESPACE = '2f0f3b62-6a1f-4c57-9d0e-5d1c6f2a7b34';
const SUBMISSION_NAMESPACE = '8c4be8a1-90d3-4f6e-b1f7-3a2e6d5c9f10';

/** The ID of a batch follows from its company and key. */
export function batchIdOf(companyId: string, batchKey: string): string {
  return uuidV5(`${companyId}:${batchKey}`, BATCH_NAMESPACE);
}

export function batchWorkflowId(companyId: string, batchKey: string): string {
  return workflowId(companyId, batchKey, sha256Base64Url);
}

/**
 * The submission of a row: whatever attempt of whatever process has made its write, the write says by it that this batch has.
 */
export function submissionOfRow(batchId: string, row: number): string {
  return uuidV5(`${batchId}:${row}`, SUBMISSION_NAMESPACE);
}
