import { useEffect, useRef } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import type { Write, WriteSummary } from '../../../client/src/generated/types.ts';
import { mayBeKey, mayBeRequest, mayBeResource, type Question, questionOf } from '../find-question.ts';
import { moneyText } from '../money.ts';
import { useCompany } from '../parts/company.tsx';
import { fieldText } from '../parts/field-text.ts';
import { Found } from '../parts/found.tsx';
import { More } from '../parts/more.tsx';
import { Problem } from '../parts/problem.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { usePages } from '../parts/use-pages.ts';
import { WriteTable } from '../parts/write-table.tsx';

/** Finds writes by what somebody knows of them; without a question, the newest writes of the company. */
export function FindPage() {
  useDocumentTitle('Find a write');
  const { query } = useLocation();
  const { currency } = useCompany();
  const question = questionOf(query, currency);
  return (
    <>
      <h1>Find a write</h1>
      <Forms question={question} />
      <Answer question={question} />
    </>
  );
}

function Answer({ question }: { readonly question: Question }) {
  switch (question.kind) {
    case 'none':
      return <Newest />;
    case 'id':
      return <FoundById id={question.id} />;
    case 'day':
      return <FoundByDay day={question.day} amount={question.amount} />;
    case 'refused':
      return null;
  }
}

/** What was asked is in the address, so that it can be sent to somebody. The fields show that question and no other. */
function Forms({ question }: { readonly question: Question }) {
  const { query, route, url } = useLocation();
  const { currency } = useCompany();
  const forms = useRef<HTMLElement>(null);
  const isById = question.kind === 'id';
  const refused = question.kind === 'refused' ? question : undefined;
  const clear = () => {
    for (const form of forms.current?.querySelectorAll('form') ?? []) form.reset();
  };
  // What was typed gives way to each other question.
  const asked = useRef(url);
  useEffect(() => {
    // Not when the page is new: somebody may be typing already.
    if (asked.current !== url) clear();
    asked.current = url;
    forms.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [url]);
  useEffect(() => {
    // Where nothing is asked yet, the way to this page changes no address.
    const onClick = (event: MouseEvent) => {
      const link = event.composedPath().find((node) => node instanceof HTMLAnchorElement);
      if (link?.getAttribute('href') === '/console/') clear();
    };
    addEventListener('click', onClick);
    return () => removeEventListener('click', onClick);
  });
  const find = (...names: readonly ('q' | 'day' | 'amount')[]) => {
    return (event: SubmitEvent) => {
      event.preventDefault();
      // Half a day reads as none.
      const day = event.currentTarget instanceof HTMLFormElement && event.currentTarget.elements.namedItem('day');
      if (day instanceof HTMLInputElement && day.validity.badInput) {
        day.reportValidity();
        return;
      }
      const asked = names.map((name) => [name, fieldText(event, name)]).filter(([, text]) => text !== '');
      route(asked.length === 0 ? '/console/' : `/console/?${new URLSearchParams(asked)}`);
    };
  };
  const flawOf = (field: 'day' | 'amount') =>
    refused?.field === field ? { 'aria-invalid': true, 'aria-describedby': 'refused' } : {};
  return (
    <search class="questions" ref={forms}>
      <form class="joined" onSubmit={find('q')}>
        <label>
          Key, write ID, resource or request ID
          <input
            name="q"
            type="search"
            defaultValue={isById ? question.id : ''}
            autocomplete="off"
            spellcheck={false}
          />
        </label>
        <button type="submit">Find</button>
      </form>
      <form class="joined of-day" onSubmit={find('day', 'amount')} noValidate>
        <label>
          Day of its entry
          <input
            name="day"
            type="date"
            max="9999-12-31"
            defaultValue={isById ? '' : (query['day'] ?? '')}
            {...flawOf('day')}
          />
        </label>
        <label>
          Amount{currency === undefined ? '' : ` (${currency})`}
          <input
            name="amount"
            inputMode="decimal"
            defaultValue={isById ? '' : (query['amount'] ?? '')}
            autocomplete="off"
            {...flawOf('amount')}
          />
        </label>
        <button type="submit">Find by day</button>
        {refused === undefined ? null : (
          <p id="refused" class="refused" role="alert">
            {refused.why}
          </p>
        )}
      </form>
    </search>
  );
}

function Newest() {
  const { first, items, more, error } = usePages<WriteSummary>('/api/writes?limit=20', { everyMs: 5_000 });
  return (
    <>
      <h2>The newest writes</h2>
      {first.error === undefined ? null : <Problem error={first.error} onAgain={first.again} />}
      <WriteTable writes={first.data === undefined ? undefined : items} isLoading={first.isLoading} />
      {first.data?.items.length === 0 ? <p>No write has its outcome yet. Send one, and it is here.</p> : null}
      <More more={more} error={error} />
    </>
  );
}

/** A write in any state is found by its key; by an ID those that have their outcome. */
function FoundById({ id }: { readonly id: string }) {
  const { route } = useLocation();
  const asked = (name: string) => `/api/writes?${name}=${encodeURIComponent(id)}&limit=50`;
  const byKey = useAnswer<Write>(mayBeKey(id) ? `/api/writes/${encodeURIComponent(id)}` : undefined);
  const byResource = usePages<WriteSummary>(mayBeResource(id) ? asked('resource') : undefined);
  const byRequest = usePages<WriteSummary>(mayBeRequest(id) ? asked('requestId') : undefined);
  const isNoKey = byKey.error?.status === 404;
  const answers = [isNoKey ? { ...byKey, error: undefined } : byKey, byResource.first, byRequest.first];
  const lists = [byResource, byRequest];
  const writes = distinct([...(byKey.data === undefined ? [] : [byKey.data]), ...lists.flatMap(({ items }) => items)]);
  const isWhole = answers.every(({ isLoading, error }) => !isLoading && error === undefined);
  const isAll = isWhole && lists.every(({ more }) => more === undefined);
  const [only, ...others] = writes;
  // A request with this ID may have been a repetition, or refused: the write is not what became of it.
  const isOfId = [only?.key, only?.writeId, only?.resource?.id].includes(id);
  const target =
    isAll && only !== undefined && isOfId && others.length === 0
      ? `/console/writes/${encodeURIComponent(only.key)}`
      : undefined;
  useEffect(() => {
    if (target !== undefined) route(target, true);
  }, [target, route]);
  return (
    <Found answers={answers} writes={writes} lists={lists} note={noteOf(byRequest.items, id)}>
      {isNoKey ? (
        <p>
          No write that you may see has this as its key. If you have sent a request with exactly this key, it is safe to
          send it again with the same key: it happens once. Do not send it with another one.
        </p>
      ) : null}
      {mayBeKey(id) ? null : <p>No write can have this as its key, which is 1–255 printable ASCII characters.</p>}
      <p>
        No write that you may see and that has its outcome has this as its ID, or as the ID of its resource or of a
        request. One that runs or waits for its approval is found by its key alone. The number of a document is not
        looked for: find its write by day and amount.
      </p>
    </Found>
  );
}

function noteOf(byRequest: readonly WriteSummary[], id: string): string | undefined {
  if (byRequest.length === 0) return undefined;
  return byRequest.every(({ requestId }) => requestId === id) ? FIRST_REQUEST : BY_REQUEST;
}

const FIRST_REQUEST = 'This is the ID of the request that asked for such a write first.';

const BY_REQUEST =
  'A request with this ID had the key of such a write. What it was answered is in the timeline of the write: it may have been a repetition, or another request that was refused.';

/** The writes that posted an entry on a day. */
function FoundByDay({ day, amount }: { readonly day: string; readonly amount: string | undefined }) {
  const { currency } = useCompany();
  const ofAmount = amount === undefined ? '' : `&amount=${amount}`;
  const list = usePages<WriteSummary>(`/api/writes?postedOn=${encodeURIComponent(day)}${ofAmount}&limit=50`);
  return (
    <Found answers={[list.first]} writes={list.items} lists={[list]}>
      <p>
        No write that you may see has posted an entry{lineInWords(amount, currency)} on {day}. That does not say that a
        request was not received, or what to do with it: look for it by its key.
      </p>
      <p>
        What a rule rejected or somebody cancelled has no entry: it is found by its key, its write ID or the ID of its
        request. What runs or waits for its approval is found by its key alone.
      </p>
    </Found>
  );
}

function lineInWords(amount: string | undefined, currency: string | undefined): string {
  if (amount === undefined) return '';
  return ` with a line of ${currency === undefined ? `${amount} minor units` : `${moneyText(amount, currency)} ${currency}`}`;
}

function distinct(writes: readonly WriteSummary[]): readonly WriteSummary[] {
  return [...new Map(writes.map((write) => [write.key, write])).values()];
}
