import { useLocation, useRoute } from 'preact-iso/router';
import type { WriteSummary } from '../../../client/src/generated/types.ts';
import { fieldText } from '../parts/field-text.ts';
import { OperatorCompanyHead } from '../parts/operator-company.tsx';
import { Problem } from '../parts/problem.tsx';
import { State } from '../parts/state.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { useOperatorCompany } from '../parts/use-operator-company.ts';
import { instantText } from '../time.ts';

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** For operators: the writes of one company, by key or write ID, and the newest. */
export function OperatorWritesPage() {
  const companyId = useRoute().params['companyId'] ?? '';
  const { route, query } = useLocation();
  const { name, timeZone } = useOperatorCompany(companyId);
  useDocumentTitle(name === '' ? 'Writes of a company' : `Writes of ${name}`);
  const writeId = query['writeId'];
  const base = `/console/companies/${companyId}`;
  const asked = writeId === undefined ? 'limit=20' : `writeId=${encodeURIComponent(writeId)}`;
  const { data, error, again } = useAnswer<{ items: readonly WriteSummary[] }>(
    `/operator/companies/${encodeURIComponent(companyId)}/writes?${asked}`,
  );
  const find = (event: SubmitEvent) => {
    event.preventDefault();
    const key = fieldText(event, 'key');
    if (key !== '') route(`${base}/writes/${encodeURIComponent(key)}`);
  };
  const findId = (event: SubmitEvent) => {
    event.preventDefault();
    const id = fieldText(event, 'writeId');
    route(id === '' ? base : `${base}?writeId=${encodeURIComponent(id)}`);
  };
  return (
    <>
      <OperatorCompanyHead companyId={companyId} name={name} />
      <h1>Writes of {name === '' ? 'the company' : name}</h1>
      <search class="forms">
        <form class="joined" onSubmit={find}>
          <input name="key" type="search" aria-label="Idempotency key" placeholder="Idempotency key" required />
          <button type="submit">Find</button>
        </form>
        <form class="joined" onSubmit={findId}>
          <input
            name="writeId"
            type="search"
            aria-label="Write ID"
            placeholder="Write ID"
            defaultValue={writeId ?? ''}
            pattern={UUID.source.slice(1, -1)}
            title="A write ID is a UUID."
          />
          <button type="submit">Find</button>
        </form>
      </search>
      <h2>{writeId === undefined ? 'The newest that have their outcome' : 'The write with this ID'}</h2>
      {error === undefined ? null : <Problem error={error} onAgain={again} />}
      <div class="scroll">
        <table aria-busy={data === undefined && error === undefined}>
          <thead>
            <tr>
              <th scope="col">Key</th>
              <th scope="col">Operation</th>
              <th scope="col">State</th>
              <th scope="col">Requested</th>
            </tr>
          </thead>
          <tbody>
            {data?.items.map((write) => (
              <tr key={write.key}>
                <th scope="row">
                  <a href={`${base}/writes/${encodeURIComponent(write.key)}`}>{write.key}</a>
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
      {data?.items.length === 0 ? (
        <p>
          {writeId === undefined
            ? 'This company has no write yet.'
            : 'No write of this company has this ID and its outcome.'}
        </p>
      ) : null}
    </>
  );
}
