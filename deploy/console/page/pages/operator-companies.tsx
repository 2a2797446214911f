import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import type { OperatorCompany } from '../../../client/src/generated/types.ts';
import { fieldText } from '../parts/field-text.ts';
import { Problem } from '../parts/problem.tsx';
import { Scrollable } from '../parts/scrollable.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';

/** For operators: whose write is it? */
export function OperatorCompaniesPage() {
  useDocumentTitle('All companies');
  const { query, route } = useLocation();
  const [search, setSearch] = useState(query['search'] ?? '');
  const asked = search === '' ? '' : `?search=${encodeURIComponent(search)}`;
  const { data, error, again } = useAnswer<{ items: readonly OperatorCompany[] }>(`/operator/companies${asked}`);
  const find = (event: SubmitEvent) => {
    event.preventDefault();
    const text = fieldText(event, 'search');
    setSearch(text);
    route(`/console/companies${text === '' ? '' : `?search=${encodeURIComponent(text)}`}`, true);
  };
  return (
    <>
      <h1>All companies</h1>
      <p>Choose the company whose write it is. What you read here is in the security log of that company.</p>
      <search>
        <form class="joined" onSubmit={find}>
          <label>
            A part of its name
            <input name="search" type="search" defaultValue={search} maxLength={200} autocomplete="off" />
          </label>
          <button type="submit">Find</button>
        </form>
      </search>
      {error === undefined ? null : <Problem error={error} onAgain={again} />}
      <Scrollable label="Companies">
        <table aria-busy={data === undefined && error === undefined}>
          <thead>
            <tr>
              <th scope="col">Company</th>
              <th scope="col">ID</th>
              <th scope="col">Time zone</th>
            </tr>
          </thead>
          <tbody>
            {data?.items.map(({ id, name, timeZone }) => (
              <tr key={id}>
                <th scope="row">
                  <a href={`/console/companies/${id}`}>{name}</a>
                </th>
                <td>
                  <code>{id}</code>
                </td>
                <td>{timeZone}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scrollable>
      {data?.items.length === 0 ? <p>No company has such a name.</p> : null}
      {data?.items.length === 200 ? <p>There may be more: name a part of its name.</p> : null}
    </>
  );
}
