import type { Batch } from '../client/src/generated/types.ts';
import { Refused } from './ends.ts';
import { ifKnown } from './known.ts';
import { quoted } from './report.ts';
import type { Batches } from './session.ts';
import type { Upload } from './upload.ts';

export type Attempt = {
  readonly batchKey: string;
  readonly upload: Upload;
  readonly signal: AbortSignal;
  /** What was known of the key before the file was sent. */
  readonly before: Batch | undefined;
};

/**
 * What is true of a file that changed while it was sent, or before there was an answer. In the changed file, rows without a key
 * of their own have other keys: whoever sends it after an earlier attempt has become a batch writes them twice. Refused and not
 * Unfinished, after which scripts send it at once.
 */
export async function changedFile(batches: Pick<Batches, 'get'>, attempt: Attempt): Promise<Refused> {
  const { batchKey, signal, upload, before } = attempt;
  const now = await stateOf(batches, batchKey, signal);
  // The attempt that broke off has left it receiving. Before it, that would be of an attempt of an earlier command.
  const isNotStored = now === 'none' || now === 'receiving';
  if (isNotStored && before === undefined && !upload.wasSentWhole()) {
    return new Refused(`${CHANGED} This command has written nothing of it: send it when it is complete.`);
  }
  const known = isNotStored || now === 'unknown' ? '' : ` (there is one with its key: ${now})`;
  return new Refused(
    `${CHANGED} An earlier attempt may have become a batch${known}. Look at that before you send the changed file, which would ` +
      `write rows without a key of their own a second time: npm run --silent batch -- status ${quoted(batchKey)}`,
  );
}

const CHANGED = 'The file changed before it was known to be stored.';

async function stateOf(
  batches: Pick<Batches, 'get'>,
  batchKey: string,
  signal: AbortSignal,
): Promise<Batch['state'] | 'none' | 'unknown'> {
  try {
    return (await ifKnown(batches.get(batchKey, { signal })))?.state ?? 'none';
  } catch {
    // That it cannot be asked matters less than what must not be done meanwhile.
    return 'unknown';
  }
}
