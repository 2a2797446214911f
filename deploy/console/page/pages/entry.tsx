import { useRoute } from 'preact-iso/router';
import type { JournalEntry, WriteSummary } from '../../../client/src/generated/types.ts';
import { sidesOf } from '../money.ts';
import { Answered } from '../parts/answered.tsx';
import { useCompany } from '../parts/company.tsx';
import { MoneyCell } from '../parts/money.tsx';
import { Person } from '../parts/person.tsx';
import { Proof } from '../parts/proof.tsx';
import { Scrollable } from '../parts/scrollable.tsx';
import { type Answer, useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { useAccountNames } from '../parts/use-names.ts';
import type { Page } from '../parts/use-pages.ts';
import { instantText } from '../time.ts';

/** A journal entry: its lines, what wrote it, and the proof that it is in the books as it was posted. */
export function EntryPage() {
  const id = useRoute().params['id'] ?? '';
  const answer = useAnswer<JournalEntry>(`/api/ledger/entries/${encodeURIComponent(id)}`);
  const entry = answer.data;
  useDocumentTitle(entry?.entryNumber == null ? 'Entry' : `Entry ${entry.entryNumber}`);
  const writes = useAnswer<Page<WriteSummary>>(
    entry === undefined ? undefined : `/api/writes?writeId=${entry.source.writeId}&limit=1`,
  );
  return (
    <>
      <p>
        <a href="/console/books">Trial balance</a>
      </p>
      <h1>{entry?.entryNumber == null ? 'Entry' : `Entry ${entry.entryNumber}`}</h1>
      <Answered answer={answer}>
        {(shown) => (
          <>
            {shown.description === '' ? null : <p>{shown.description}</p>}
            <Lines entry={shown} />
            <Facts entry={shown} writes={writes} />
            <h2>Proof</h2>
            <ProofOf entry={shown} writes={writes} />
          </>
        )}
      </Answered>
    </>
  );
}

function Lines({ entry }: { readonly entry: JournalEntry }) {
  const names = useAccountNames(entry.lines.map(({ accountCode }) => accountCode));
  return (
    <Scrollable label="Lines">
      <table>
        <caption>Lines of {entry.date}</caption>
        <thead>
          <tr>
            <th scope="col">Account</th>
            <th scope="col" class="money">
              Debit
            </th>
            <th scope="col" class="money">
              Credit
            </th>
            <th scope="col">Currency</th>
          </tr>
        </thead>
        <tbody>
          {entry.lines.map((line) => {
            const { debit, credit } = sidesOf(line.amount);
            return (
              <tr key={line.id}>
                <th scope="row">
                  <a href={`/console/books/accounts/${encodeURIComponent(line.accountCode)}`}>
                    {line.accountCode} {names.get(line.accountCode)}
                  </a>
                  {line.memo === null ? null : <small class="memo">{line.memo}</small>}
                </th>
                <MoneyCell amount={debit} currency={line.currency} />
                <MoneyCell amount={credit} currency={line.currency} />
                <td>{line.currency}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scrollable>
  );
}

type Writes = Answer<Page<WriteSummary>>;

function Facts({ entry, writes }: { readonly entry: JournalEntry; readonly writes: Writes }) {
  const { timeZone } = useCompany();
  const key = writes.data?.items[0]?.key;
  return (
    <dl class="facts">
      <dt>Number in the journal</dt>
      <dd>{entry.entryNumber ?? 'none yet: it gets one when it is sealed, some seconds after it was posted'}</dd>
      <dt>Written by</dt>
      <dd>
        {key === undefined ? (
          entry.source.operation
        ) : (
          <a href={`/console/writes/${encodeURIComponent(key)}`}>
            {entry.source.operation} {key}
          </a>
        )}
      </dd>
      <dt>Posted</dt>
      <dd>{instantText(entry.postedAt, timeZone)}</dd>
      <dt>Posted by</dt>
      <dd>
        <Person id={entry.postedBy} />
      </dd>
      <dt>Approved by</dt>
      <dd>{entry.approvedBy === null ? 'nobody: no policy asked for it' : <Person id={entry.approvedBy} />}</dd>
      {entry.reverses === null ? null : (
        <>
          <dt>Reverses</dt>
          <dd>
            <a href={`/console/books/entries/${entry.reverses}`}>{entry.reverses}</a>
          </dd>
        </>
      )}
      {entry.kind === 'closing' ? (
        <>
          <dt>Kind</dt>
          <dd>It closes a fiscal year, or reopens one: the profit and loss leaves it out.</dd>
        </>
      ) : null}
      <dt>Entry ID</dt>
      <dd>
        <code>{entry.id}</code>
      </dd>
      <dt>Request ID</dt>
      <dd>
        <code>{entry.requestId}</code>
      </dd>
    </dl>
  );
}

function ProofOf({ entry, writes }: { readonly entry: JournalEntry; readonly writes: Writes }) {
  return (
    <Answered answer={writes}>
      {({ items: [write] }) =>
        write === undefined ? (
          <p>The proof is that of the write, which you may not read.</p>
        ) : (
          <Proof writeKey={write.key} entry={entry} />
        )
      }
    </Answered>
  );
}
