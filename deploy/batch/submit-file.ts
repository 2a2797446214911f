import { type FileOptions, readRows } from '../../api/batches/rows/read-rows.ts';
import { UnreadableFile } from '../../api/batches/rows/rows.ts';
import { type FileArguments, fileOptionsOf } from '../cli/file-options.ts';
import { shown } from '../cli/progress.ts';
import { openSource, refuseSameFile, type Source } from '../cli/source.ts';
import { EXIT, Refused } from './ends.ts';
import { placeFaults } from './fault-places.ts';
import type { End } from './finish.ts';
import { isOver } from './follow.ts';
import { batchText, sendingText } from './progress-text.ts';
import { exitCodeOf, faultText, quoted, reportText } from './report.ts';
import { saveResults } from './results.ts';
import { type Session, type SessionOptions, withSession } from './session.ts';
import { submit } from './submit.ts';
import { openUpload, type Upload } from './upload.ts';

export type SubmitOptions = SessionOptions &
  FileArguments & {
    readonly batchKey?: string;
    readonly wait: boolean;
    readonly validateOnly?: true;
    readonly results?: string;
  };

/** A small file has gone before anyone can read how much of it has. */
const SHOWN_AFTER_MS = 500;

export async function submitFile(path: string, options: SubmitOptions): Promise<End> {
  const file = fileOptionsOf(path, options);
  if (file.format === 'csv' && file.operation === undefined) {
    throw new Refused('CSV needs --operation: its columns are the members of that operation.');
  }
  if (options.results !== undefined) refuseSameFile(path, options.results);
  const source = await openSource(path);
  try {
    const sent = withSession(options, (session) => {
      const upload = openSending(source, file, session);
      return options.validateOnly
        ? validate(session, source, file, upload)
        : send(session, source, file, upload, options);
    });
    return await withOwnAdvice(sent, source, file);
  } finally {
    source.close();
  }
}

/** The API does not know of the options of this command: of a header that neither can read, the command says what to do. */
async function withOwnAdvice(sent: Promise<End>, source: Source, file: FileOptions): Promise<End> {
  try {
    return await sent;
  } catch (error) {
    if (!(error instanceof Refused) || error.problem?.code !== 'validation_failed') throw error;
    try {
      for await (const _ of readRows(source.read(), file)) break;
    } catch (own) {
      if (own instanceof UnreadableFile) throw new Refused(own.message, error.problem);
      throw own;
    }
    throw error;
  }
}

async function send(
  session: Session,
  source: Source,
  file: FileOptions,
  upload: Upload,
  { batchKey = source.sha256, wait, results }: SubmitOptions,
): Promise<End> {
  const { batches, progress, signal, waitS } = session;
  session.onInterrupt(
    'Stopped before an answer said that the file is stored. If all of it had come, it is a batch and goes on: run the same ' +
      'command again with the same file, which finds it or sends it.',
  );
  let followed = false;
  const batch = await submit(batches, {
    ...{ batchKey, upload, signal, waitS },
    operation: file.operation?.name,
    isNotAwaited: !wait,
    onFound(found) {
      progress.done(`The batch is there already (${found.state}): the file was not sent again.`);
    },
    onStored: () =>
      session.onInterrupt(
        `The batch goes on. To see how it stands: npm run --silent batch -- status ${quoted(batchKey)} --follow`,
      ),
    onBatch(stands) {
      followed = true;
      if (!isOver(stands)) progress.update(batchText(stands));
    },
  });
  if (followed && isOver(batch)) progress.done(batchText(batch));
  const errors = await placeFaults(batch.errors, source, file);
  for (const error of errors) progress.done(faultText(error));
  if (results !== undefined && isOver(batch)) await saveResults(session, batchKey, results);
  const isAccepted = !wait && !isOver(batch);
  return {
    exitCode: isAccepted ? EXIT.done : exitCodeOf(batch),
    text: isAccepted
      ? `Batch ${batchKey}: accepted, ${shown(batch.rows ?? 0)} rows. To see how it stands: ` +
        `npm run --silent batch -- status ${quoted(batchKey)}`
      : reportText(batch),
    json: { batch: { ...batch, errors } },
  };
}

async function validate(
  { batches, progress, signal }: Session,
  source: Source,
  file: FileOptions,
  { format, read }: Upload,
): Promise<End> {
  const operation = file.operation?.name;
  const { rows, valid, errors: faults } = await batches.validate(read, { operation, format, signal });
  const errors = await placeFaults(faults, source, file);
  for (const error of errors) progress.done(faultText(error));
  const invalid = rows - valid;
  const unlisted = invalid - errors.length;
  return {
    exitCode: invalid === 0 ? EXIT.done : EXIT.faulty,
    text:
      `${shown(rows)} rows, ${shown(invalid)} of them would be refused; nothing was written` +
      (unlisted > 0 ? ` (${shown(unlisted)} of them are not listed)` : ''),
    json: { validation: { rows, valid, errors } },
  };
}

/** Shows how much of the file has gone out; an attempt that is made again begins at nothing. */
function openSending(source: Source, file: FileOptions, { progress }: Session): Upload {
  let since = performance.now();
  let before = 0;
  return openUpload(source, file, (bytes) => {
    if (bytes < before || before === 0) since = performance.now();
    before = bytes;
    const elapsedMs = performance.now() - since;
    if (elapsedMs > SHOWN_AFTER_MS) progress.update(sendingText(bytes, source.bytes, elapsedMs));
  });
}
