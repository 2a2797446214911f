import type { Write } from '../../../client/src/generated/types.ts';
import { amountAskedFor, mayDecide, wouldBeLast } from '../approval-words.ts';
import { stateInWords } from '../words.ts';
import { About, AskedFor } from './about.tsx';
import { Action } from './action.tsx';
import { useCompany } from './company.tsx';
import { Person } from './person.tsx';
import { useAnswer } from './use-answer.ts';

/** The buttons of who may decide about a write that waits; nothing for anybody else. */
export function Decide({ write, onDone }: { readonly write: Write; readonly onDone: () => void }) {
  const company = useCompany();
  if (!mayDecide(write, company)) return null;
  const path = `/api/writes/${encodeURIComponent(write.key)}`;
  const amount = amountAskedFor(write.request);
  const what = (
    <>
      {write.operation}
      {amount === undefined ? null : (
        <>
          {' of '}
          <strong>{amount}</strong>
        </>
      )}{' '}
      under the key {write.key}, asked for by <Person id={write.actor.userId} />
    </>
  );
  const answered = (now: Write) => (
    <>
      {now.state === 'pending_approval'
        ? 'Your decision is recorded. The write waits for more.'
        : stateInWords(now).title}{' '}
      <a href={`/console/writes/${encodeURIComponent(write.key)}`}>Its page</a> has all of it.
    </>
  );
  return (
    <>
      <Action<Write>
        path={`${path}/approve`}
        name="Approve"
        title="Approve this write?"
        confirm="Approve it"
        withComment
        answered={answered}
        onDone={onDone}
      >
        <p>You approve {what}.</p>
        <About write={write} />
        <AskedFor write={write} />
        <Effect write={write} />
        <p>A decision stays as it was made. A rule may still reject the write when it is executed.</p>
      </Action>
      <Action<Write>
        path={`${path}/reject`}
        name="Reject"
        title="Reject this write?"
        confirm="Reject it"
        withComment
        isGrave
        answered={answered}
        onDone={onDone}
      >
        <p>You reject {what}.</p>
        <About write={write} />
        <AskedFor write={write} />
        <p>It never happens: whoever sends the key again is told that it was rejected, and your comment.</p>
        <p>A decision stays as it was made. To make the write after all, it has to be sent with a new key.</p>
      </Action>
    </>
  );
}

/** What the approval does, as things stand when it is asked for: others may decide at the same time. */
function Effect({ write }: { readonly write: Write }) {
  const company = useCompany();
  const now = useAnswer<Write>(`/api/writes/${encodeURIComponent(write.key)}`).data ?? write;
  if (now.state !== 'pending_approval') return <p>It waits no more: somebody has decided already.</p>;
  return (
    <p>
      {wouldBeLast(now, company)
        ? 'With your approval it has all that it needs: it is executed at once, with your name.'
        : 'It needs more approvals than yours, and waits for them. With the last one it is executed at once.'}
    </p>
  );
}
