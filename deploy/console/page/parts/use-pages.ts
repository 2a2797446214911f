import { useCallback, useEffect, useState } from 'preact/hooks';
import { ApiError, ask } from '../api.ts';
import { type Answer, useAnswer } from './use-answer.ts';

export type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | null };

/** A list, page after page: the first as useAnswer asks for it, those after it as they are asked for. */
export function usePages<T>(
  path: string,
  { everyMs }: { readonly everyMs?: number } = {},
): {
  readonly first: Answer<Page<T>>;
  readonly items: readonly T[];
  readonly more: (() => void) | undefined;
  readonly error: ApiError | undefined;
} {
  const first = useAnswer<Page<T>>(path, { everyMs });
  const [later, setLater] = useState<Page<T> & { readonly path?: string }>({ items: [], nextCursor: null });
  const [error, setError] = useState<ApiError>();
  useEffect(() => {
    setLater({ items: [], nextCursor: null });
    setError(undefined);
  }, [path]);
  const isBegun = later.path === path;
  const cursor = isBegun ? later.nextCursor : (first.data?.nextCursor ?? null);
  const more = useCallback(async () => {
    if (cursor === null) return;
    try {
      const separator = path.includes('?') ? '&' : '?';
      const page = await ask<Page<T>>(`${path}${separator}cursor=${encodeURIComponent(cursor)}`);
      setLater((before) => ({ path, items: [...before.items, ...page.items], nextCursor: page.nextCursor }));
      setError(undefined);
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, { detail: String(thrown) }));
    }
  }, [path, cursor]);
  return {
    first,
    items: [...(first.data?.items ?? []), ...(isBegun ? later.items : [])],
    more: cursor === null ? undefined : () => void more(),
    error,
  };
}
