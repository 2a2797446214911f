import type { BatchResource } from '../../api/batches/resource.ts';
import type { BatchApi } from './batch-api.ts';
import { Refused, Unfinished } from './ends.ts';
import { type Following, follow, isOver } from './follow.ts';
import type { Upload } from './upload.ts';

export type Submission = Following & {
  readonly batchKey: string;
  /** Of the rows that name none. */
  readonly operation: string | undefined;
  readonly upload: Upload;
  /** Return as soon as the batch is stored. */
  readonly isNotAwaited: boolean;
  /** The batch was there before, from the same file. */
  onFound(batch: BatchResource): void;
  /** It is there now: from here on it goes on without us. */
  onStored(): void;
};

/** A batch that is there right after its upload, and then is not, cannot be read with this token. */
const MOST_UPLOADS = 3;

/**
 * Sends a file as a batch, unless it is there already, and follows it to its end. It may be killed anywhere and called again: the
 * same file under the same key is the same batch, and an upload that broke off has left none.
 */
export async function submit(api: BatchApi, submission: Submission): Promise<BatchResource> {
  const { batchKey, upload, operation, isNotAwaited, onFound, onStored } = submission;
  for (let uploads = 1; uploads <= MOST_UPLOADS; uploads += 1) {
    const found = await api.find(batchKey);
    const isThere = found !== undefined && (await isSame(found, submission));
    if (isThere) onFound(found);
    const batch = isThere ? found : await api.upload(upload, batchKey, operation);
    onStored();
    if (isNotAwaited || isOver(batch)) return batch;
    const end = await followAccepted(api, submission);
    if (end !== undefined) return end;
  }
  throw new Refused(`The batch ${batchKey} cannot be read with this token. Look at it as its sender, or as the owner.`);
}

/** Whether the batch is stored, and of the very bytes that would be sent. Only the API can compare others, row by row. */
async function isSame(
  { state, sha256, operation }: BatchResource,
  { upload, ...submission }: Submission,
): Promise<boolean> {
  if (state === 'receiving' || sha256 === null || operation !== (submission.operation ?? null)) return false;
  return sha256 === (await upload.sha256());
}

async function followAccepted(api: BatchApi, submission: Submission): Promise<BatchResource | undefined> {
  try {
    return await follow(api, submission.batchKey, submission);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    // Such as a token that has ended: that is not the end of the batch.
    throw new Unfinished(`The batch goes on, but it cannot be looked at: ${error.message}`);
  }
}
