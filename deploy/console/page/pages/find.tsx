import { useLocation } from 'preact-iso/router';
import type { Write } from '../../../client/src/generated/types.ts';
import { useCompany } from '../parts/company.tsx';
import { fieldText } from '../parts/field-text.ts';
import { Problem } from '../parts/problem.tsx';
import { State } from '../parts/state.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { instantText } from '../time.ts';

type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | null };

/** Finds a write by its key; below, the newest writes of the company. */
export function FindPage() {
  useDocumentTitle('Find a write');
  const { route } = useLocation();
  const { timeZone } = useCompany();
  const newest = useAnswer<Page<Write>>('/api/writes?limit=20', { everyMs: 5_000 });
  const find = (event: SubmitEvent) => {
    event.preventDefault();
    const key = fieldText(event, 'key');
    if (key !== '') route(`/console/writes/${encodeURIComponent(key)}`);
  };
  return (
    <>
      <h1>Find a write</h1>
      <search>
        <form class="joined" onSubmit={find}>
          <input name="key" type="search" aria-label="Idempotency key" placeholder="Idempotency key" required />
          <button type="submit">Find</button>
        </form>
      </search>
      <h2>The newest writes</h2>
      {newest.error === undefined ? null : <Problem error={newest.error} onAgain={newest.again} />}
      <div class="scroll">
        <table aria-busy={newest.data === undefined && newest.error === undefined}>
          <thead>
            <tr>
              <th scope="col">Key</th>
              <th scope="col">Operation</th>
              <th scope="col">State</th>
              <th scope="col">Requested</th>
            </tr>
          </thead>
          <tbody>
            {newest.data?.items.map((write) => (
              <tr key={write.key}>
                <th scope="row">
                  <a href={`/console/writes/${encodeURIComponent(write.key)}`}>{write.key}</a>
                </th>
                <td>{write.operation ?? 'unknown'}</td>
                <td>
                  <State state={write.state} />
                </td>
                <td class="nowrap">{instantText(write.requestedAt, timeZone)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {newest.data?.items.length === 0 ? <p>No write has its outcome yet. Send one, and it is here.</p> : null}
    </>
  );
}
