import type { ComponentChildren } from 'preact';
import type { WriteSummary } from '../../../client/src/generated/types.ts';
import { foundInWords } from '../find-question.ts';
import { More } from './more.tsx';
import { Problem } from './problem.tsx';
import type { Answer } from './use-answer.ts';
import type { Pages } from './use-pages.ts';
import { WriteTable } from './write-table.tsx';

/** What a question has found, and that it is a part where it is. `note`: what it means; `children`: what it means that nothing was. */
export function Found({
  answers,
  writes,
  lists,
  base,
  note,
  children,
}: {
  readonly answers: readonly Answer<unknown>[];
  readonly writes: readonly WriteSummary[];
  readonly lists: readonly Pages<WriteSummary>[];
  readonly base?: string;
  readonly note?: string | undefined;
  readonly children: ComponentChildren;
}) {
  const isLoading = answers.some((answer) => answer.isLoading);
  const failed = answers.find(({ error }) => error !== undefined);
  const further = lists.filter(({ more }) => more !== undefined);
  const more = () => {
    for (const list of further) list.more?.();
  };
  const isEmpty = !isLoading && writes.length === 0;
  const count = foundInWords(writes.length, further.length > 0);
  return (
    <>
      <h2 aria-live="polite">{isLoading ? 'Looking' : isEmpty && failed !== undefined ? 'Could not look' : count}</h2>
      {failed?.error === undefined ? null : <Problem error={failed.error} onAgain={failed.again} />}
      {isEmpty || note === undefined ? null : <p>{note}</p>}
      {isEmpty ? null : (
        <WriteTable writes={writes.length === 0 ? undefined : writes} isLoading={isLoading} {...(base && { base })} />
      )}
      {isEmpty && failed === undefined ? children : null}
      <More
        more={further.length === 0 ? undefined : more}
        error={lists.find(({ error }) => error !== undefined)?.error}
      />
    </>
  );
}
