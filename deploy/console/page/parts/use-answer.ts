import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, ask } from '../api.ts';

/** What the API has answered: nothing yet, an answer, or an error. While it is asked again, the last answer stays. */
export type Answer<T> = {
  readonly data: T | undefined;
  readonly error: ApiError | undefined;
  readonly isLoading: boolean;
  readonly again: () => void;
};

/**
 * Asks for `path`, again whenever it changes; nothing is asked for undefined. `everyMs`: and as often as that, and when somebody
 * comes back to the page, unless the last request is still being answered, or the caller may not read it: each refusal is told in the
 * security log.
 */
export function useAnswer<T>(
  path: string | undefined,
  { everyMs }: { readonly everyMs?: number | undefined } = {},
): Answer<T> {
  const [state, setState] = useState<{ path?: string; data?: T; error?: ApiError; isLoading: boolean }>({
    isLoading: false,
  });
  const [turn, setTurn] = useState(0);
  const isAsking = useRef(false);
  useEffect(() => {
    if (path === undefined) return;
    const leaving = new AbortController();
    isAsking.current = true;
    setState((before) => ({ ...(before.path === path ? before : {}), path, isLoading: true }));
    ask<T>(path, { signal: leaving.signal }).then(
      (data) => {
        if (leaving.signal.aborted) return;
        isAsking.current = false;
        setState({ path, data, isLoading: false });
      },
      (error) => {
        if (leaving.signal.aborted) return;
        isAsking.current = false;
        const told = error instanceof ApiError ? error : new ApiError(0, { detail: String(error) });
        setState((before) => ({ ...before, error: told, isLoading: false }));
      },
    );
    return () => leaving.abort();
  }, [path, turn]);
  const isRefused = state.error?.status === 401 || state.error?.status === 403;
  useEffect(() => {
    if (everyMs === undefined || isRefused) return;
    const tick = () => {
      if (document.visibilityState === 'visible' && !isAsking.current) setTurn((n) => n + 1);
    };
    const timer = setInterval(tick, everyMs);
    addEventListener('focus', tick);
    document.addEventListener('visibilitychange', tick);
    return () => {
      clearInterval(timer);
      removeEventListener('focus', tick);
      document.removeEventListener('visibilitychange', tick);
    };
  }, [everyMs, isRefused]);
  const again = useCallback(() => setTurn((n) => n + 1), []);
  const isOfPath = state.path === path;
  return {
    data: isOfPath ? state.data : undefined,
    error: isOfPath ? state.error : undefined,
    isLoading: path !== undefined && (!isOfPath || state.isLoading),
    again,
  };
}
