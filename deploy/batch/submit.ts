import { RefusedError, UnknownOutcomeError } from '../client/src/errors.ts';
import type { Batch } from '../client/src/generated/types.ts';
import { changedFile } from './changed-file.ts';
import { Refused, Unfinished } from './ends.ts';
import { type Following, follow, isOver } from './follow.ts';
import { ifKnown } from './known.ts';
import type { Batches } from './session.ts';
import { FileChanged, type Upload } from './upload.ts';

export type Submission = Following & {
  readonly batchKey: string;
  /** Of the rows that name none. */
  readonly operation: string | undefined;
  readonly upload: Upload;
  /** Return as soon as the batch is stored. */
  readonly isNotAwaited: boolean;
  /** The batch was there before, from the same file. */
  onFound(batch: Batch): void;
  /** It is there now: from here on it goes on without us. */
  onStored(): void;
};

/** A batch that is there right after its upload, and then is not, cannot be read with this token. */
const MOST_UPLOADS = 3;

/**
 * Sends a file as a batch, unless it is there already, and follows it to its end. It may be killed anywhere and called again with
 * the same file: under the same key it is the same batch, whether all of it had come or not.
 */
export async function submit(batches: Batches, submission: Submission): Promise<Batch> {
  const { batchKey, isNotAwaited, signal, onFound, onStored } = submission;
  for (let uploads = 1; uploads <= MOST_UPLOADS; uploads += 1) {
    const found = await ifKnown(batches.get(batchKey, { signal }));
    const isThere = found !== undefined && (await isSame(found, submission));
    if (isThere) onFound(found);
    const batch = isThere ? found : await send(batches, submission, found);
    onStored();
    if (isNotAwaited || isOver(batch)) return batch;
    const end = await followAccepted(batches, submission);
    if (end !== undefined) return end;
  }
  throw new Refused(`The batch ${batchKey} cannot be read with this token. Look at it as its sender, or as the owner.`);
}

async function send(
  batches: Batches,
  { batchKey, upload, operation, signal }: Submission,
  before: Batch | undefined,
): Promise<Batch> {
  const { format, read } = upload;
  try {
    const { batch } = await batches.submit(read, { batchKey, operation, format, signal });
    return batch;
  } catch (error) {
    // Run again, the command would send what the file is by now.
    const isLostChange = error instanceof UnknownOutcomeError && upload.wasSentWhole() && upload.hasChanged();
    if (!(error instanceof FileChanged || isLostChange)) throw error;
    throw await changedFile(batches, { batchKey, upload, signal, before });
  }
}

/** Whether the batch is stored, and of the very bytes that would be sent. Only the API can compare others, row by row. */
async function isSame({ state, sha256, operation }: Batch, { upload, ...submission }: Submission): Promise<boolean> {
  if (state === 'receiving' || sha256 === null || operation !== (submission.operation ?? null)) return false;
  return sha256 === (await upload.sha256());
}

async function followAccepted(batches: Batches, submission: Submission): Promise<Batch | undefined> {
  try {
    return await follow(batches, submission.batchKey, submission);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    // Such as a token that has ended: that is not the end of the batch.
    throw new Unfinished(`The batch goes on, but it cannot be looked at: ${error.message}`);
  }
}
