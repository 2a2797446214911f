import type { ApiError } from '../api.ts';

/** What went wrong, in the API's words, and the ID under which its operators find the request. */
export function Problem({ error, onAgain }: { readonly error: ApiError; readonly onAgain?: () => void }) {
  return (
    <div role="alert" class="problem">
      <p>
        <strong>{error.message}</strong>
      </p>
      {error.requestId === undefined ? null : (
        <p>
          Request ID: <code>{error.requestId}</code>
        </p>
      )}
      {onAgain === undefined ? null : (
        <button type="button" class="outline" onClick={onAgain}>
          Ask again
        </button>
      )}
    </div>
  );
}
