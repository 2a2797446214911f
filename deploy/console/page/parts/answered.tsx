import type { ComponentChildren } from 'preact';
import { Problem } from './problem.tsx';
import type { Answer } from './use-answer.ts';

/** What the API has answered, once it has; until then, the place that it takes, so that nothing jumps. */
export function Answered<T>({
  answer,
  children,
}: {
  readonly answer: Answer<T>;
  readonly children: (data: T) => ComponentChildren;
}) {
  const { data, error, again } = answer;
  return (
    <>
      {error === undefined ? null : <Problem error={error} onAgain={again} />}
      {data === undefined && error === undefined ? (
        <p class="waiting" aria-busy="true">
          Asking the API
        </p>
      ) : null}
      {data === undefined ? null : children(data)}
    </>
  );
}
