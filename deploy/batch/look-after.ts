import type { BatchAction } from '../../api/batches/control.ts';
import type { BatchResource } from '../../api/batches/resource.ts';
import { shown } from '../cli/progress.ts';
import { textTable } from '../cli/table.ts';
import type { BatchApi, ListQuery, ResultFormat } from './batch-api.ts';
import { EXIT, Refused } from './ends.ts';
import type { End } from './finish.ts';
import { follow, isOver } from './follow.ts';
import { batchText } from './progress-text.ts';
import { exitCodeOf, faultText, quoted, reportText } from './report.ts';
import { printResults, resultFormatOf, saveResults } from './results.ts';
import { type SessionOptions, withSession } from './session.ts';

export function showBatch(batchKey: string, options: SessionOptions & { readonly follow?: true }): Promise<End> {
  return withSession(options, async ({ api, progress, signal, waitS, onInterrupt }) => {
    onInterrupt('The batch goes on.');
    const onBatch = (batch: BatchResource) => progress.update(batchText(batch));
    const batch = options.follow ? await follow(api, batchKey, { waitS, signal, onBatch }) : await api.find(batchKey);
    if (batch === undefined) throw unknown(batchKey);
    progress.clear();
    for (const error of batch.errors) progress.done(faultText(error));
    const now = isOver(batch) ? '' : `\n${batchText(batch)}`;
    return { exitCode: exitCodeOf(batch), text: reportText(batch) + now, json: { batch } };
  });
}

export function showResults(
  batchKey: string,
  { out, format, json, ...options }: SessionOptions & { out?: string; format?: ResultFormat; json?: true },
): Promise<End> {
  if (json && out === undefined) throw new Refused('With --json, give --out: the results are not one JSON object.');
  return withSession(options, async ({ api }) => {
    if (out === undefined) await printResults(api, batchKey, format ?? 'ndjson', process.stdout);
    else await saveResults(api, batchKey, out, format ?? resultFormatOf(out));
    return { exitCode: EXIT.done, text: '', json: { results: out } };
  });
}

export function controlBatch(batchKey: string, action: BatchAction, options: SessionOptions): Promise<End> {
  return withSession(options, async ({ api }) => {
    const batch = await changed(api, batchKey, action);
    return { exitCode: EXIT.done, text: `Batch ${batchKey}: ${batch.state}`, json: { batch } };
  });
}

export function listBatches(options: SessionOptions & ListQuery): Promise<End> {
  return withSession(options, async ({ api }) => {
    const { items, nextCursor } = await api.list(options);
    const rows = items.map(({ key, state, operation, rows: all, counts, createdAt }) => [
      quoted(key),
      state,
      operation ?? '',
      all === null ? '' : `${shown(all - counts.pending)} of ${shown(all)}`,
      createdAt,
    ]);
    const text = textTable(['key', 'state', 'operation', 'rows', 'created'], rows);
    return { exitCode: EXIT.done, text, json: { items, nextCursor } };
  });
}

/** The state in which an action leaves a batch. */
const LEAVES: Partial<Record<BatchAction, BatchResource['state']>> = { pause: 'paused', cancel: 'cancelled' };

/** A batch that is in the wanted state already is no conflict: the answer to an earlier request may have been lost. */
async function changed(api: BatchApi, batchKey: string, action: BatchAction): Promise<BatchResource> {
  try {
    return await api.control(batchKey, action);
  } catch (error) {
    if (!(error instanceof Refused) || error.problem?.code !== 'batch_state_conflict') throw error;
    const batch = await api.find(batchKey);
    if (batch === undefined || batch.state !== LEAVES[action]) throw error;
    return batch;
  }
}

function unknown(batchKey: string): Refused {
  return new Refused(`There is no batch with the key ${batchKey}, or this token may not read it.`);
}
