import type { ApiError } from '../api.ts';
import { Problem } from './problem.tsx';

/** The button below a list that has more pages. */
export function More({
  more,
  error,
}: {
  readonly more: (() => void) | undefined;
  readonly error: ApiError | undefined;
}) {
  return (
    <>
      {error === undefined ? null : <Problem error={error} />}
      {more === undefined ? null : (
        <button type="button" class="outline" onClick={more}>
          Show more
        </button>
      )}
    </>
  );
}
