import { useState } from 'preact/hooks';
import type { Write } from '../../../client/src/generated/types.ts';
import { amountAskedFor, demandInWords } from '../approval-words.ts';
import { About, AskedFor } from '../parts/about.tsx';
import { Answered } from '../parts/answered.tsx';
import { useCompany } from '../parts/company.tsx';
import { Decide } from '../parts/decide.tsx';
import { More } from '../parts/more.tsx';
import { Person } from '../parts/person.tsx';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { usePages } from '../parts/use-pages.ts';
import { instantText } from '../time.ts';
import { isConfidential } from '../write-actions.ts';

/** The writes that wait for whoever is signed in, or all that wait. */
export function ApprovalsPage() {
  useDocumentTitle('Approvals');
  const [isMine, setMine] = useState(true);
  const path = `/api/approvals?limit=50${isMine ? '&waitingFor=me' : ''}`;
  const [everyMs, setEveryMs] = useState<number | undefined>(15_000);
  const { first, items, more, error } = usePages<Write>(path, { everyMs });
  // Each look at what is confidential is told in the security log.
  const wanted = items.some(isConfidential) ? undefined : 15_000;
  if (wanted !== everyMs) setEveryMs(wanted);
  return (
    <>
      <h1>Approvals</h1>
      <fieldset class="choice">
        <legend>Show</legend>
        <label>
          <input type="radio" name="whose" checked={isMine} onChange={() => setMine(true)} />
          What waits for me
        </label>
        <label>
          <input type="radio" name="whose" checked={!isMine} onChange={() => setMine(false)} />
          All that waits and that I may read
        </label>
      </fieldset>
      <Answered answer={first}>
        {() => (
          <>
            {items.length === 0 ? <Nothing isMine={isMine} /> : null}
            {items.map((write) => (
              <Waiting key={write.key} write={write} onDone={first.again} />
            ))}
            <More more={more} error={error} />
          </>
        )}
      </Answered>
    </>
  );
}

function Nothing({ isMine }: { readonly isMine: boolean }) {
  return (
    <>
      <p>{isMine ? 'Nothing waits for you.' : 'Nothing waits for an approval.'}</p>
      <p>
        A write waits where a policy of the company asks for it: by its operation, its amount and who sends it. Owners
        set the policies by <a href="/docs">the operation updateApprovalPolicies</a>. Nobody approves what they have
        sent themselves.
      </p>
    </>
  );
}

function Waiting({ write, onDone }: { readonly write: Write; readonly onDone: () => void }) {
  const { timeZone, userId } = useCompany();
  const amount = amountAskedFor(write.request);
  const { approvals = [], demands = [], expiresAt } = write;
  return (
    <article class="outcome wait">
      <h2>
        <a class="key" href={`/console/writes/${encodeURIComponent(write.key)}`}>
          {write.operation} {amount}
        </a>
      </h2>
      <dl class="facts">
        <dt>Key</dt>
        <dd>
          <code>{write.key}</code>
        </dd>
        <dt>Asked for by</dt>
        <dd>
          <Person id={write.actor.userId} />
          {write.actor.userId === userId ? ' (you: somebody else decides)' : null}
        </dd>
        <dt>Asked for</dt>
        <dd>{instantText(write.requestedAt, timeZone)}</dd>
        <dt>Waits until</dt>
        <dd>{expiresAt == null ? 'it is executed' : instantText(expiresAt, timeZone)}</dd>
        <dt>The policy asks for</dt>
        <dd>
          <ul class="short">
            {demands.map((demand) => (
              <li key={demand.roles.join()}>{demandInWords(demand)}</li>
            ))}
          </ul>
        </dd>
        {approvals.length === 0 ? null : (
          <>
            <dt>Decided</dt>
            <dd>
              <Decisions approvals={approvals} />
            </dd>
          </>
        )}
      </dl>
      <About write={write} />
      <AskedFor write={write} />
      <div class="buttons">
        <Decide write={write} onDone={onDone} />
      </div>
    </article>
  );
}

export function Decisions({ approvals }: { readonly approvals: NonNullable<Write['approvals']> }) {
  const { timeZone } = useCompany();
  return (
    <ul class="short">
      {approvals.map(({ userId, decision, comment, at }) => (
        <li key={userId}>
          {decision} by <Person id={userId} />, {instantText(at, timeZone)}
          {comment === null ? '' : `: ${comment}`}
        </li>
      ))}
    </ul>
  );
}
