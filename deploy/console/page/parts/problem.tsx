import type { ProblemPointer } from '../../../client/src/generated/types.ts';
import type { ApiError } from '../api.ts';
import { NEXT_ACTIONS } from '../words.ts';

/** What went wrong, in the API's words, all of them, and the ID under which its operators find the request. */
export function Problem({
  error,
  onAgain,
  isSent = false,
}: {
  readonly error: ApiError;
  readonly onAgain?: () => void;
  /** Of something that was sent and not only read: then what to do next is of use. */
  readonly isSent?: boolean;
}) {
  const { title, code, nextAction, errors = [], differences = [], failed = [] } = error.problem;
  return (
    <div class="problem">
      <div role="alert">
        <p>
          <strong>{error.message}</strong>
        </p>
        {title === undefined ? null : (
          <p>
            {error.status} {title}
            {code === undefined ? null : (
              <>
                {' '}
                (<code>{code}</code>)
              </>
            )}
            {nextAction === undefined || !isSent ? null : `. ${NEXT_ACTIONS[nextAction] ?? ''}`}
          </p>
        )}
        <Pointers pointers={[...errors, ...differences]} />
        {failed.length === 0 ? null : (
          <ul class="short">
            {failed.map(({ control, detail }, at) => (
              <li key={`${control} ${at}`}>
                <code>{control}</code>: {detail}
              </li>
            ))}
          </ul>
        )}
        {error.requestId === undefined ? null : (
          <p>
            Request ID: <code>{error.requestId}</code>
          </p>
        )}
      </div>
      {onAgain === undefined ? null : (
        <button type="button" class="outline" onClick={onAgain}>
          Ask again
        </button>
      )}
    </div>
  );
}

/** Members of a request, and what is said of each. */
export function Pointers({ pointers }: { readonly pointers: readonly ProblemPointer[] }) {
  if (pointers.length === 0) return null;
  return (
    <ul class="short">
      {pointers.map(({ in: where, pointer, message }, at) => (
        <li key={`${where} ${pointer} ${at}`}>
          {where} <code>{pointer === '' ? '(as a whole)' : pointer}</code>
          {message === undefined ? null : ` ${message}`}
        </li>
      ))}
    </ul>
  );
}
