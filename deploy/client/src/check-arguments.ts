import { MAX_WAIT_S, prefixOf } from './http.ts';
import { isKey, type KeptWrite } from './keys.ts';

/** What no call could work with is a TypeError, before anything is kept or sent. */

export function requireKey(key: string, name = 'batchKey'): void {
  if (typeof key === 'string' && isKey(key)) return;
  const article = name === 'batchKey' ? 'A' : 'An';
  throw new TypeError(
    `${article} ${name} has 1 to 255 printable ASCII characters, and is not only spaces, "." or "..".`,
  );
}

export function requireWrite({ idempotencyKey, path }: KeptWrite): void {
  requireKey(idempotencyKey, 'idempotencyKey');
  if (!/^\/api\/[\x21-\x7e]*$/.test(path)) throw new TypeError('The path of a write begins with /api/.');
}

/** A kept write of another company or service would be a second write there. */
export function requireSame(write: KeptWrite, { baseUrl, companyId }: Pick<KeptWrite, 'baseUrl' | 'companyId'>): void {
  if (write.baseUrl !== undefined && prefixOf(write.baseUrl) !== prefixOf(baseUrl ?? '')) {
    throw new TypeError(`The write ${write.idempotencyKey} was kept for ${write.baseUrl}, and not for ${baseUrl}.`);
  }
  if (write.companyId !== undefined && companyId !== undefined && write.companyId !== companyId) {
    throw new TypeError(`The write ${write.idempotencyKey} was kept for another company, ${write.companyId}.`);
  }
}

type Call = {
  readonly deadlineMs?: number | undefined;
  readonly waitS?: number | undefined;
  readonly requestId?: string | undefined;
};

export function requireCall({ deadlineMs, waitS, requestId }: Call): void {
  if (deadlineMs !== undefined) requireDeadline(deadlineMs);
  if (waitS !== undefined && !(Number.isInteger(waitS) && waitS >= 0 && waitS <= MAX_WAIT_S)) {
    throw new TypeError(`waitS is a whole number of seconds from 0 to ${MAX_WAIT_S}.`);
  }
  if (requestId !== undefined && !/^[!-~]{1,128}$/.test(requestId)) {
    throw new TypeError('A requestId has 1 to 128 printable ASCII characters without spaces.');
  }
}

export function requirePatience(giveUpAfterMs: number | undefined): void {
  if (giveUpAfterMs === undefined || giveUpAfterMs >= 0) return;
  throw new TypeError('giveUpAfterMs is a number of milliseconds from 0, or Infinity.');
}

export function requireDeadline(deadlineMs: number): void {
  if (!(deadlineMs > 0)) throw new TypeError('deadlineMs is a number of milliseconds above 0, or Infinity.');
}
