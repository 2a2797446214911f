import type { KeptWrite } from './keys.ts';

/** One line of a file of kept writes, which is only ever appended to, or replaced as a whole. */
export function keptLine(write: KeptWrite): string {
  const { idempotencyKey, operation, method, path, body, baseUrl, companyId } = write;
  return `${JSON.stringify({ kept: { idempotencyKey, operation, method, path, body, baseUrl, companyId } })}\n`;
}

export function settledLine(idempotencyKey: string): string {
  return `${JSON.stringify({ settled: idempotencyKey })}\n`;
}

/**
 * The writes that such a file keeps and does not settle, by their keys, in the order in which they were kept.
 *
 * A kill cuts an append at its end, wherever that is: all lines before are whole, and what follows the last newline counts if it
 * can be read (an editor may have left that newline out) and is ignored otherwise, since nobody was told of it. Any other line
 * that cannot be read throws, also if it is not UTF-8: what it says may be needed to learn what became of a write. A byte order
 * mark, as some editors write it, is skipped.
 */
export function readKeyLog(bytes: Uint8Array): Map<string, KeptWrite> {
  const pending = new Map<string, KeptWrite>();
  let number = 0;
  for (let from = 0; from < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, from);
    const end = newline < 0 ? bytes.length : newline;
    const entry = entryOf(bytes.subarray(from, end));
    number += 1;
    if (entry === undefined && newline >= 0) throw new Error(`line ${number} cannot be read`);
    if (entry?.settled !== undefined) pending.delete(entry.settled);
    if (entry?.kept !== undefined && !pending.has(entry.kept.idempotencyKey)) {
      pending.set(entry.kept.idempotencyKey, entry.kept);
    }
    from = end + 1;
  }
  return pending;
}

/** Whether both are the same request under the same key. */
export function isSameWrite(one: KeptWrite, other: KeptWrite): boolean {
  // Where it belongs may not be known of one of them.
  const baseUrl = one.baseUrl ?? other.baseUrl;
  const companyId = one.companyId ?? other.companyId;
  return keptLine({ baseUrl, companyId, ...known(one) }) === keptLine({ baseUrl, companyId, ...known(other) });
}

function known(write: KeptWrite): KeptWrite {
  return Object.fromEntries(Object.entries(write).filter(([, value]) => value !== undefined)) as KeptWrite;
}

const NEWLINE = 0x0a;
/** Skips a byte order mark. */
const UTF8 = new TextDecoder('utf-8', { fatal: true });

function entryOf(line: Uint8Array): { readonly kept?: KeptWrite; readonly settled?: string } | undefined {
  try {
    const { kept, settled } = JSON.parse(UTF8.decode(line)) as { kept?: Partial<KeptWrite>; settled?: unknown };
    if (typeof settled === 'string') return { settled };
    const texts = [kept?.idempotencyKey, kept?.operation, kept?.method, kept?.path, kept?.body];
    const optional = [kept?.baseUrl, kept?.companyId];
    const isWhole =
      texts.every((text) => typeof text === 'string') &&
      optional.every((text) => text === undefined || typeof text === 'string');
    return isWhole ? { kept: kept as KeptWrite } : undefined;
  } catch {
    return undefined;
  }
}
