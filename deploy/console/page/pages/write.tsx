import { useState } from 'preact/hooks';
import { useRoute } from 'preact-iso/router';
import type { Event, Write } from '../../../client/src/generated/types.ts';
import { demandInWords } from '../approval-words.ts';
import { documentInWords } from '../money.ts';
import { Action } from '../parts/action.tsx';
import { useCompany } from '../parts/company.tsx';
import { Decide } from '../parts/decide.tsx';
import { Problem } from '../parts/problem.tsx';
import { Proof } from '../parts/proof.tsx';
import { State } from '../parts/state.tsx';
import { Timeline } from '../parts/timeline.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { instantText } from '../time.ts';
import { stateInWords } from '../words.ts';
import { cancelInWords, eventOf, isConfidential, mayCancel, mayRedeliver } from '../write-actions.ts';
import { Decisions } from './approvals.tsx';

/** What has become of a write, and when what happened to it. */
export function WritePage() {
  const { params } = useRoute();
  const key = params['key'] ?? '';
  useDocumentTitle(key);
  const [everyMs, setEveryMs] = useState<number | undefined>(2_000);
  const { data: write, error, again } = useAnswer<Write>(`/api/writes/${encodeURIComponent(key)}`, { everyMs });
  const wanted = write === undefined ? 2_000 : askedEveryMs(write);
  if (wanted !== everyMs) setEveryMs(wanted);
  return (
    <>
      <h1 class="key">{key}</h1>
      {error === undefined ? null : <Problem error={error} onAgain={again} />}
      {write === undefined && error === undefined ? <p aria-busy="true">Asking the API</p> : null}
      {write === undefined ? null : <Story write={write} again={again} />}
    </>
  );
}

/** What is confidential is not read again by itself, unless its outcome comes in a moment: each look is told in the security log. */
function askedEveryMs(write: Write): number | undefined {
  if (write.state === 'running') return 1_000;
  return isConfidential(write) ? undefined : 5_000;
}

/** `again`: where it is the page of a member, who may act on the write, and be led on into the books. */
export function Story({ write, again }: { readonly write: Write; readonly again?: () => void }) {
  const { timeZone } = useCompany();
  const { title, next, tone } = stateInWords(write);
  const { state, response } = write;
  const document = documentInWords(write.document);
  return (
    <>
      {document === '' ? null : (
        <p class="headline">
          {write.operation} <strong>{document}</strong>
        </p>
      )}
      <article class={`outcome ${tone}`}>
        <p>
          <State state={state} />. {title}
        </p>
        {state === 'rejected' ? <Because answer={response} /> : null}
        <p>{next}</p>
      </article>
      {again === undefined ? null : <Actions write={write} onDone={again} />}
      <dl class="facts">
        <dt>Operation</dt>
        <dd>{write.operation ?? 'unknown'}</dd>
        <dt>Write ID</dt>
        <dd>
          <code>{write.writeId ?? 'none'}</code>
        </dd>
        <dt>Request ID</dt>
        <dd>
          <code>{write.requestId}</code>
        </dd>
        <dt>Requested</dt>
        <dd>{instantText(write.requestedAt, timeZone)}</dd>
        <dt>Attempts</dt>
        <dd>{write.attempts}</dd>
        <dt>Run in Temporal</dt>
        <dd>
          {write.workflow?.url == null ? (
            <code>{write.workflow?.id ?? 'none'}</code>
          ) : (
            <a href={write.workflow.url} target="_blank" rel="noreferrer">
              {write.workflow.id}
            </a>
          )}
        </dd>
        {again === undefined ? null : <EntryLink write={write} />}
        <Approval write={write} />
      </dl>
      <h2>Timeline</h2>
      <Timeline items={write.timeline} isTruncated={write.timelineTruncated === true} timeZone={timeZone} />
      <div class="side-by-side">
        <section aria-label="Request">
          <h2>Request</h2>
          <Json value={requestOf(write)} otherwise={nothingAsked(write)} />
        </section>
        <section aria-label="Answer">
          <h2>Answer</h2>
          <Json value={write.response} otherwise={hasOutcome(write) ? HIDDEN : 'There is none yet.'} />
        </section>
      </div>
      {again === undefined ? null : <ProofOf write={write} />}
    </>
  );
}

/** As it was sent or answered: its text, whatever is in it. `otherwise`: why there is nothing. */
function Json({ value, otherwise }: { readonly value: unknown; readonly otherwise: string }) {
  if (value == null) return <p>{otherwise}</p>;
  return (
    <pre>
      <code>{JSON.stringify(value, null, 2)}</code>
    </pre>
  );
}

/** Why a rule has rejected the write, as its answer says. */
function Because({ answer }: { readonly answer: unknown }) {
  const detail = (answer as { readonly detail?: unknown } | null)?.detail;
  return typeof detail === 'string' ? <p>{detail}</p> : null;
}

const HIDDEN = 'It is not for you to see.';

/** The body, and the IDs in the address where there are any. */
function requestOf({ request }: Write): unknown {
  const { params, body } = (request ?? {}) as { readonly params?: object; readonly body?: unknown };
  return request == null || Object.keys(params ?? {}).length > 0 ? request : body;
}

function nothingAsked({ state }: Write): string {
  return state === 'cancelled' || state === 'lost' ? 'It is not known.' : HIDDEN;
}

function hasOutcome({ state }: Write): boolean {
  return state === 'succeeded' || state === 'rejected' || state === 'cancelled';
}

/** The entry that the write has posted, where its answer names one. */
function EntryLink({ write: { resource, response } }: { readonly write: Write }) {
  const named = (response as { readonly journalEntryId?: unknown } | null)?.journalEntryId;
  const id = resource?.type === 'journalEntry' ? resource.id : named;
  if (typeof id !== 'string') return null;
  return (
    <>
      <dt>Entry</dt>
      <dd>
        <a href={`/console/books/entries/${encodeURIComponent(id)}`}>{id}</a>
      </dd>
    </>
  );
}

function Approval({ write: { demands, approvals = [], expiresAt } }: { readonly write: Write }) {
  const { timeZone } = useCompany();
  if (demands === undefined) return null;
  return (
    <>
      <dt>Approvals</dt>
      <dd>
        {demands.map(demandInWords).join(', ')}
        {expiresAt == null ? '' : `, until ${instantText(expiresAt, timeZone)}`}
        {approvals.length === 0 ? null : <Decisions approvals={approvals} />}
      </dd>
    </>
  );
}

/** What may be done with the write, for those who may. */
function Actions({ write, onDone }: { readonly write: Write; readonly onDone: () => void }) {
  const company = useCompany();
  const event = eventOf(write);
  return (
    <div class="buttons">
      <Decide write={write} onDone={onDone} />
      {mayCancel(write, company) ? (
        <Action<Write>
          path={`/api/writes/${encodeURIComponent(write.key)}/cancel`}
          name="Cancel"
          title="Cancel this write?"
          confirm="Cancel it"
          isGrave
          answered={(now) => stateInWords(now).title}
          onDone={onDone}
        >
          <p>{cancelInWords(write)}</p>
          <p>A cancel cannot be taken back.</p>
        </Action>
      ) : null}
      {event !== undefined && company.hasWebhook && mayRedeliver(company) ? (
        <Action<Event>
          path={`/api/events/${event.id}/redeliver`}
          name="Deliver the event again"
          title="Deliver the event again?"
          confirm="Deliver it again"
          answered={({ delivery: { state, attempts } }) =>
            state === 'pending'
              ? 'The event is about to be delivered: the timeline has it as soon as it is.'
              : `The event is ${state.replaceAll('_', ' ')}, after ${attempts} calls.`
          }
          onDone={onDone}
        >
          <p>
            The webhook of the company is called again with the event {event.kind} of this write, under the same ID, by
            which its receiver knows it again. The books do not change. An event that is about to be delivered stays as
            it is.
          </p>
        </Action>
      ) : null}
    </div>
  );
}

/** Asked for, and not with the page: reading what somebody is paid is told in the security log. */
function ProofOf({ write }: { readonly write: Write }) {
  const { key, state } = write;
  const [isAsked, setAsked] = useState(false);
  if (!hasOutcome(write)) return null;
  return (
    <>
      <h2>Proof</h2>
      {isAsked ? (
        <Proof writeKey={key} />
      ) : (
        <p>
          <button type="button" class="outline" onClick={() => setAsked(true)}>
            {state === 'succeeded' ? 'Check the proof that it is in the books' : 'Check the proof of its record'}
          </button>
        </p>
      )}
    </>
  );
}
