import { useCallback, useEffect, useState } from 'preact/hooks';
import { ApiError, ask } from '../api.ts';
import { type Answer, useAnswer } from './use-answer.ts';

export type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | null };

export type Pages<T> = {
  readonly first: Answer<Page<T>>;
  readonly items: readonly T[];
  readonly more: (() => void) | undefined;
  readonly error: ApiError | undefined;
};

/**
 * A list, page after page: the first as useAnswer asks for it, those after it as they are asked for. Nothing is asked for
 * undefined.
 */
export function usePages<T>(
  path: string | undefined,
  { everyMs }: { readonly everyMs?: number | undefined } = {},
): Pages<T> {
  const [later, setLater] = useState<Page<T> & { readonly path?: string }>({ items: [], nextCursor: null });
  const [error, setError] = useState<ApiError>();
  const isBegun = path !== undefined && later.path === path;
  // Once more is shown, the first page stands still: what is new would push its last items between it and the next.
  const first = useAnswer<Page<T>>(path, { everyMs: isBegun ? undefined : everyMs });
  useEffect(() => {
    setLater({ items: [], nextCursor: null });
    setError(undefined);
  }, [path]);
  const cursor = isBegun ? later.nextCursor : (first.data?.nextCursor ?? null);
  const more = useCallback(async () => {
    if (cursor === null || path === undefined) return;
    try {
      const separator = path.includes('?') ? '&' : '?';
      const page = await ask<Page<T>>(`${path}${separator}cursor=${encodeURIComponent(cursor)}`);
      setLater((before) => {
        const isShown = before.path === path && before.nextCursor !== cursor;
        return isShown ? before : { path, items: [...before.items, ...page.items], nextCursor: page.nextCursor };
      });
      setError(undefined);
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, { detail: String(thrown) }));
    }
  }, [path, cursor]);
  const { again: askFirst } = first;
  const again = useCallback(() => {
    setLater({ items: [], nextCursor: null });
    askFirst();
  }, [askFirst]);
  return {
    first: { ...first, again },
    items: [...(first.data?.items ?? []), ...(isBegun ? later.items : [])],
    more: cursor === null ? undefined : () => void more(),
    error,
  };
}
