import { useEffect } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import type { Write } from '../../../client/src/generated/types.ts';
import { minorUnits } from '../money.ts';
import { useCompany } from '../parts/company.tsx';
import { fieldText } from '../parts/field-text.ts';
import { Problem } from '../parts/problem.tsx';
import { type Answer, useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { WriteTable } from '../parts/write-table.tsx';

type Page = { readonly items: readonly Write[]; readonly nextCursor: string | null };

/** Finds writes by what somebody knows of them; without a question, the newest writes of the company. */
export function FindPage() {
  useDocumentTitle('Find a write');
  const { query } = useLocation();
  const isAsked = (query['q'] ?? query['day'] ?? '') !== '';
  return (
    <>
      <h1>Find a write</h1>
      <Question />
      {isAsked ? <Found id={query['q'] ?? ''} day={query['day'] ?? ''} amount={query['amount'] ?? ''} /> : <Newest />}
    </>
  );
}

/** What was asked is in the address, so that it can be sent to somebody. */
function Question() {
  const { query, route } = useLocation();
  const { currency } = useCompany();
  const find = (event: SubmitEvent) => {
    event.preventDefault();
    const asked = new URLSearchParams();
    for (const name of ['q', 'day', 'amount']) {
      const text = fieldText(event, name);
      if (text !== '') asked.set(name, text);
    }
    route(asked.size === 0 ? '/console/' : `/console/?${asked}`);
  };
  return (
    <search>
      <form class="question" onSubmit={find}>
        <label>
          Key, write ID, resource or request ID
          <input name="q" type="search" defaultValue={query['q'] ?? ''} autocomplete="off" spellcheck={false} />
        </label>
        <label>
          Day of its entry
          <input name="day" type="date" defaultValue={query['day'] ?? ''} />
        </label>
        <label>
          Amount{currency === undefined ? '' : ` (${currency})`}
          <input
            name="amount"
            inputMode="decimal"
            pattern="[0-9]+([.][0-9]*)?"
            title="Digits, with a point before the cents; with the day of its entry"
            defaultValue={query['amount'] ?? ''}
            autocomplete="off"
          />
        </label>
        <button type="submit">Find</button>
      </form>
    </search>
  );
}

function Newest() {
  const newest = useAnswer<Page>('/api/writes?limit=20', { everyMs: 5_000 });
  return (
    <>
      <h2>The newest writes</h2>
      {newest.error === undefined ? null : <Problem error={newest.error} onAgain={newest.again} />}
      <WriteTable writes={newest.data?.items} isLoading={newest.isLoading} />
      {newest.data?.items.length === 0 ? <p>No write has its outcome yet. Send one, and it is here.</p> : null}
    </>
  );
}

/** A write in any state is found by its key; by everything else those that have their outcome. */
function Found({ id, day, amount }: { readonly id: string; readonly day: string; readonly amount: string }) {
  const { currency } = useCompany();
  const { route } = useLocation();
  const minor = amount === '' ? undefined : minorUnits(amount, currency);
  const ofDay =
    day === '' ? '' : `&postedOn=${encodeURIComponent(day)}${minor === undefined ? '' : `&amount=${minor}`}`;
  const asked = (name: string) => (id === '' ? undefined : `/api/writes?${name}=${encodeURIComponent(id)}${ofDay}`);
  const byKey = useAnswer<Write>(id === '' || day !== '' ? undefined : `/api/writes/${encodeURIComponent(id)}`);
  const byResource = useAnswer<Page>(asked('resource'));
  const byRequest = useAnswer<Page>(asked('requestId'));
  const byDay = useAnswer<Page>(id === '' && day !== '' ? `/api/writes?${ofDay.slice(1)}` : undefined);
  const all: readonly Answer<unknown>[] = [byKey, byResource, byRequest, byDay];
  const isLoading = all.some((answer) => answer.isLoading);
  const writes = distinct([
    ...(byKey.data === undefined ? [] : [byKey.data]),
    ...[byResource, byRequest, byDay].flatMap(({ data }) => data?.items ?? []),
  ]);
  // What cannot be a key, or a request's ID, is not found by it.
  const errors = all.flatMap(({ error }) => (error === undefined || [400, 404].includes(error.status) ? [] : [error]));
  const [only, ...others] = isLoading ? [] : writes;
  const target =
    only !== undefined && others.length === 0 && day === ''
      ? `/console/writes/${encodeURIComponent(only.key)}`
      : undefined;
  useEffect(() => {
    if (target !== undefined) route(target, true);
  }, [target, route]);
  return (
    <>
      <h2 aria-live="polite">{isLoading ? 'Looking' : `${writes.length} found`}</h2>
      {errors[0] === undefined ? null : <Problem error={errors[0]} />}
      {amount !== '' && minor === undefined ? (
        <p role="alert">
          {amount} is no amount{currency === undefined ? '' : ` in ${currency}`}: every entry of the day is shown.
        </p>
      ) : null}
      {amount !== '' && day === '' ? <p>An amount is looked for on a day: give the day of its entry, too.</p> : null}
      {!isLoading && writes.length === 0 ? (
        <p>
          No write has this as its key, its ID, the ID of its resource or of a request. If you have sent one with this
          key, it is safe to send it again with the same key.
        </p>
      ) : (
        <WriteTable writes={writes} isLoading={isLoading} />
      )}
    </>
  );
}

function distinct(writes: readonly Write[]): readonly Write[] {
  return [...new Map(writes.map((write) => [write.key, write])).values()];
}
