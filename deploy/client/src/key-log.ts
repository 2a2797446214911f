import type { KeptWrite } from './keys.ts';

/**
 * The lines of a file of kept writes: one JSON object each, `{"kept": {…}}` or `{"settled": "key"}`. A file is only ever appended
 * to, or replaced as a whole.
 */
export type KeyLog = {
  /** The kept writes that are not settled, by their keys, in the order in which they were kept. */
  readonly pending: Map<string, KeptWrite>;
  /** Whether it consists of the lines of `pending` and nothing else. */
  readonly isCompact: boolean;
};

export function keptLine(write: KeptWrite): string {
  const { idempotencyKey, operation, method, path, body } = write;
  return `${JSON.stringify({ kept: { idempotencyKey, operation, method, path, body } })}\n`;
}

export function settledLine(idempotencyKey: string): string {
  return `${JSON.stringify({ settled: idempotencyKey })}\n`;
}

/**
 * Reads such a file. A last line that cannot be read, or that has no end, is what a kill has left of an append that nobody was
 * told of, and is ignored. Any other such line throws: what it says may be needed to learn what became of a write.
 */
export function readKeyLog(text: string): KeyLog {
  const pending = new Map<string, KeptWrite>();
  const lines = text.split('\n');
  const unfinished = lines.pop();
  let isCompact = unfinished === '';
  for (const [index, line] of lines.entries()) {
    const entry = entryOf(line);
    if (entry === undefined && index < lines.length - 1) throw new Error(`line ${index + 1} cannot be read`);
    if (entry?.kept !== undefined && !pending.has(entry.kept.idempotencyKey)) {
      pending.set(entry.kept.idempotencyKey, entry.kept);
      continue;
    }
    if (entry?.settled !== undefined) pending.delete(entry.settled);
    isCompact = false;
  }
  return { pending, isCompact };
}

/** Whether both are the same request under the same key. */
export function isSameWrite(one: KeptWrite, other: KeptWrite): boolean {
  return keptLine(one) === keptLine(other);
}

function entryOf(line: string): { readonly kept?: KeptWrite; readonly settled?: string } | undefined {
  try {
    const { kept, settled } = JSON.parse(line) as { kept?: Partial<KeptWrite>; settled?: unknown };
    if (typeof settled === 'string') return { settled };
    const texts = [kept?.idempotencyKey, kept?.operation, kept?.method, kept?.path, kept?.body];
    return texts.every((text) => typeof text === 'string') ? { kept: kept as KeptWrite } : undefined;
  } catch {
    return undefined;
  }
}
