import { useState } from 'preact/hooks';
import { useRoute } from 'preact-iso/router';
import type { Batch } from '../../../client/src/generated/types.ts';
import { ApiError, askText } from '../api.ts';
import { actionsOf, BATCH_STATES, type BatchAction, numberText, OUTCOMES, rowsText } from '../batch-words.ts';
import { Action } from '../parts/action.tsx';
import { Answered } from '../parts/answered.tsx';
import { useCompany } from '../parts/company.tsx';
import { Person } from '../parts/person.tsx';
import { Pointers, Problem } from '../parts/problem.tsx';
import { Progress } from '../parts/progress.tsx';
import { fileNameOf, saveFile } from '../parts/save-file.ts';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { instantText } from '../time.ts';

/** A batch while it runs, and what has become of its rows. */
export function BatchPage() {
  const key = useRoute().params['key'] ?? '';
  useDocumentTitle(`Batch ${key}`);
  const [everyMs, setEveryMs] = useState<number | undefined>(1_000);
  const answer = useAnswer<Batch>(`/api/batches/${encodeURIComponent(key)}`, { everyMs });
  const batch = answer.data;
  // Rows that wait for their approval change afterwards, too.
  const wanted = batch === undefined ? 5_000 : batch.completedAt === null ? 1_000 : 10_000;
  if (wanted !== everyMs) setEveryMs(wanted);
  return (
    <>
      <p>
        <a href="/console/batches">Batches</a>
      </p>
      <h1 class="key">{key}</h1>
      <Answered answer={answer}>{(shown) => <Story batch={shown} again={answer.again} />}</Answered>
    </>
  );
}

function Story({ batch, again }: { readonly batch: Batch; readonly again: () => void }) {
  const { timeZone } = useCompany();
  const { words, tone } = BATCH_STATES[batch.state];
  return (
    <>
      <article class={`outcome ${tone}`}>
        <p>
          <span class={`state batch-${batch.state}`}>{batch.state}</span>: {words}
        </p>
        <Progress batch={batch} />
        <p class="rate">{rateInWords(batch, timeZone)}</p>
      </article>
      <Actions batch={batch} onDone={again} />
      <h2>What has become of its rows</h2>
      <table class="counts">
        <tbody>
          {OUTCOMES.filter(({ name }) => batch.counts[name] > 0).map(({ name, words: told, tone: of }) => (
            <tr key={name} class={of}>
              <td class="money">{numberText(batch.counts[name])}</td>
              <th scope="row">{told}</th>
            </tr>
          ))}
          <tr>
            <td class="money">{batch.rows === null ? '–' : numberText(batch.rows)}</td>
            <th scope="row">in the file</th>
          </tr>
        </tbody>
      </table>
      <Errors batch={batch} />
      <h2>Results</h2>
      <Results batchKey={batch.key} />
      <h2>About the batch</h2>
      <dl class="facts">
        <dt>Operation</dt>
        <dd>{batch.operation ?? 'each row names its own'}</dd>
        <dt>Sent by</dt>
        <dd>
          <Person id={batch.actor.userId} />
        </dd>
        <dt>Sent</dt>
        <dd>{instantText(batch.createdAt, timeZone)}</dd>
        <dt>Begun</dt>
        <dd>{batch.startedAt === null ? 'not yet' : instantText(batch.startedAt, timeZone)}</dd>
        <dt>Over</dt>
        <dd>{batch.completedAt === null ? 'not yet' : instantText(batch.completedAt, timeZone)}</dd>
        <dt>SHA-256 of the file</dt>
        <dd>
          <code>{batch.sha256 ?? 'none yet'}</code>
        </dd>
        <dt>Request ID</dt>
        <dd>
          <code>{batch.requestId}</code>
        </dd>
        <dt>Run in Temporal</dt>
        <dd>
          {batch.workflow.url === null ? (
            <code>{batch.workflow.id}</code>
          ) : (
            <a href={batch.workflow.url} target="_blank" rel="noreferrer">
              {batch.workflow.id}
            </a>
          )}
        </dd>
      </dl>
    </>
  );
}

function rateInWords({ state, rowsPerSecond, eta }: Batch, timeZone: string): string {
  if (state !== 'running') return '';
  if (rowsPerSecond === null) return 'How fast it goes is not measured yet.';
  const rate = `${numberText(rowsPerSecond)} rows a second`;
  return eta === null ? `${rate}.` : `${rate}. At this rate it is done at ${instantText(eta, timeZone)}.`;
}

function Errors({ batch: { errors, counts } }: { readonly batch: Batch }) {
  const count = counts.rejected + counts.mismatched + counts.refused + counts.failed;
  if (count === 0) return null;
  return (
    <>
      <h2>Errors</h2>
      <p>
        {errors.length === 0
          ? `${rowsText(count)} came to nothing. Who may not read the results does not see why.`
          : errors.length < count
            ? `The first ${errors.length} of ${rowsText(count)} that came to nothing.`
            : `${rowsText(count)} that came to nothing.`}
      </p>
      <ol class="errors">
        {errors.map(({ row, key, status, code, detail, errors: pointers }) => (
          <li key={row}>
            <p>
              <strong>Row {numberText(row)}</strong>{' '}
              {key === null ? (
                'has no key that can be read'
              ) : (
                <a href={`/console/writes/${encodeURIComponent(key)}`}>{key}</a>
              )}
              : {status === null ? '' : `${status} `}
              <code>{code}</code>
            </p>
            <p>{detail}</p>
            <Pointers pointers={pointers} />
          </li>
        ))}
      </ol>
    </>
  );
}

/** Each row with its answer, as one file: the API gives it in pages. */
function Results({ batchKey }: { readonly batchKey: string }) {
  const [asking, setAsking] = useState<string>();
  const [error, setError] = useState<ApiError>();
  const download = async (accept: string, ending: string) => {
    setAsking('Asking for the results');
    setError(undefined);
    try {
      const path = `/api/batches/${encodeURIComponent(batchKey)}/results?limit=1000`;
      const onPage = (pages: number) => setAsking(`${numberText(pages * 1_000)} rows, at most, have arrived`);
      saveFile(`results-${fileNameOf(batchKey)}.${ending}`, await askText(path, { accept, onPage }));
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, { detail: String(thrown) }));
    } finally {
      setAsking(undefined);
    }
  };
  const isAsking = asking !== undefined;
  return (
    <>
      <p>Each row of the file with its outcome, its resource or its problem.</p>
      <p class="buttons">
        <button type="button" class="outline" disabled={isAsking} onClick={() => void download('text/csv', 'csv')}>
          Download as CSV
        </button>
        <button
          type="button"
          class="outline"
          disabled={isAsking}
          onClick={() => void download('application/x-ndjson', 'ndjson')}
        >
          Download as NDJSON
        </button>
      </p>
      <p aria-live="polite">{asking ?? ''}</p>
      {error === undefined ? null : <Problem error={error} />}
    </>
  );
}

type Told = { readonly name: string; readonly title: string; readonly confirm: string; readonly isGrave?: boolean };

const ACTIONS: Readonly<Record<BatchAction, Told>> = {
  pause: { name: 'Pause', title: 'Pause this batch?', confirm: 'Pause it' },
  resume: { name: 'Resume', title: 'Resume this batch?', confirm: 'Resume it' },
  cancel: { name: 'Cancel', title: 'Cancel this batch?', confirm: 'Cancel it', isGrave: true },
  'retry-failed': { name: 'Try again', title: 'Try the rows again that failed?', confirm: 'Try them again' },
};

function Actions({ batch, onDone }: { readonly batch: Batch; readonly onDone: () => void }) {
  const { roles, userId } = useCompany();
  const mayControl = batch.actor.userId === userId || roles.includes('owner') || roles.includes('admin');
  const actions = actionsOf(batch);
  if (actions.length === 0 || !mayControl) return null;
  return (
    <p class="buttons">
      {actions.map((action) => (
        <Action<Batch>
          key={action}
          path={`/api/batches/${encodeURIComponent(batch.key)}/${action}`}
          {...ACTIONS[action]}
          answered={(now) => `The batch is ${now.state}: ${BATCH_STATES[now.state].words}.`}
          onDone={onDone}
        >
          <p>{consequence(action, batch)}</p>
        </Action>
      ))}
    </p>
  );
}

function consequence(action: BatchAction, { key, counts }: Batch): string {
  const left = `${rowsText(counts.pending)} of the batch ${key} ${counts.pending === 1 ? 'is' : 'are'} left to do`;
  switch (action) {
    case 'pause':
      return `${left}. What has begun ends; nothing more of it begins until somebody resumes it.`;
    case 'resume':
      return `${left}. They are written from where it was paused. A row whose key has its outcome is a replay.`;
    case 'cancel':
      return `${left}, and those that have not begun never happen. What is written stays in the books. A batch that is cancelled cannot be resumed.`;
    case 'retry-failed':
      return `${rowsText(counts.failed + counts.refused)} of the batch ${key} ended without an outcome. Each is sent again with its key: no write happens twice.`;
  }
}
