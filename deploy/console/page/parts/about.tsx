import { useState } from 'preact/hooks';
import type { Write } from '../../../client/src/generated/types.ts';
import { aboutPath, amountOf, headline } from '../approval-words.ts';
import { isConfidential } from '../write-actions.ts';
import { Problem } from './problem.tsx';
import { useAnswer } from './use-answer.ts';

/**
 * What a write that waits is about, as it is now: whoever decides sees more of it than an ID. What is confidential is read when it is
 * asked for.
 */
export function About({ write }: { readonly write: Write }) {
  const path = aboutPath(write);
  const [isAsked, setAsked] = useState(!isConfidential(write));
  const { data, error } = useAnswer<Readonly<Record<string, unknown>>>(isAsked ? path : undefined);
  if (path === undefined) return null;
  const amount = data === undefined ? undefined : amountOf(write.request, data);
  return (
    <>
      <p>
        It is about: {data === undefined ? null : <strong>{headline(data)}</strong>}
        {amount === undefined ? null : (
          <>
            . Amount asked for: <strong>{amount}</strong>
          </>
        )}
        {isAsked ? null : (
          <button type="button" class="outline" onClick={() => setAsked(true)}>
            Show it
          </button>
        )}
      </p>
      {error === undefined ? null : <Problem error={error} />}
      {isAsked ? (
        <details>
          <summary>What it is about, as it is now</summary>
          <pre>
            <code>{data === undefined ? 'Asking the API' : JSON.stringify(data, null, 2)}</code>
          </pre>
        </details>
      ) : null}
    </>
  );
}

/** All of what is asked for, as it was sent: nobody decides about less. */
export function AskedFor({ write: { request } }: { readonly write: Write }) {
  return (
    <details open>
      <summary>What is asked for, as it was sent</summary>
      <pre>
        <code>{request == null ? 'It is not for you to see.' : JSON.stringify(request, null, 2)}</code>
      </pre>
    </details>
  );
}
