import { useRoute } from 'preact-iso/router';
import type { Write } from '../../../client/src/generated/types.ts';
import { useCompany } from '../parts/company.tsx';
import { Problem } from '../parts/problem.tsx';
import { State } from '../parts/state.tsx';
import { Timeline } from '../parts/timeline.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { instantText } from '../time.ts';
import { stateInWords } from '../words.ts';

/** What has become of a write, and when what happened to it. */
export function WritePage() {
  const { params } = useRoute();
  const key = params['key'] ?? '';
  useDocumentTitle(key);
  const { data: write, error, again } = useAnswer<Write>(`/api/writes/${encodeURIComponent(key)}`, { everyMs: 2_000 });
  return (
    <>
      <h1 class="key">{key}</h1>
      {error === undefined ? null : <Problem error={error} onAgain={again} />}
      {write === undefined && error === undefined ? <p aria-busy="true">Asking the API</p> : null}
      {write === undefined ? null : <Story write={write} />}
    </>
  );
}

export function Story({ write }: { readonly write: Write }) {
  const { timeZone } = useCompany();
  const { title, next, tone } = stateInWords(write);
  return (
    <>
      <article class={`outcome ${tone}`}>
        <p>
          <State state={write.state} /> <strong>{title}</strong>
        </p>
        <p>{next}</p>
      </article>
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
      </dl>
      <h2>Timeline</h2>
      <Timeline items={write.timeline} isTruncated={write.timelineTruncated === true} timeZone={timeZone} />
      <h2>Answer</h2>
      <pre>
        <code>
          {write.response === null ? 'None, or not for you to see.' : JSON.stringify(write.response, null, 2)}
        </code>
      </pre>
    </>
  );
}
