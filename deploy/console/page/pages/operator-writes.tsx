import { useLocation, useRoute } from 'preact-iso/router';
import type { WriteSummary } from '../../../client/src/generated/types.ts';
import { CompanyContext } from '../parts/company.tsx';
import { fieldText } from '../parts/field-text.ts';
import { OperatorCompanyHead } from '../parts/operator-company.tsx';
import { Problem } from '../parts/problem.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { useOperatorCompany } from '../parts/use-operator-company.ts';
import { WriteTable } from '../parts/write-table.tsx';

type Page = { readonly items: readonly WriteSummary[] };

/** For operators: the writes of one company, by key, by an ID, and the newest. Each question is recorded: none is asked again by itself. */
export function OperatorWritesPage() {
  const companyId = useRoute().params['companyId'] ?? '';
  const { route, query } = useLocation();
  const company = useOperatorCompany(companyId);
  useDocumentTitle(`Writes of ${company.name}`);
  const id = query['id'] ?? '';
  const base = `/console/companies/${companyId}`;
  const find = (event: SubmitEvent) => {
    event.preventDefault();
    const key = fieldText(event, 'key');
    if (key !== '') route(`${base}/writes/${encodeURIComponent(key)}`);
  };
  const findId = (event: SubmitEvent) => {
    event.preventDefault();
    const sought = fieldText(event, 'id');
    route(sought === '' ? base : `${base}?id=${encodeURIComponent(sought)}`);
  };
  return (
    <CompanyContext.Provider value={company}>
      <OperatorCompanyHead companyId={companyId} name={company.name} />
      <h1>Writes of {company.name}</h1>
      <search class="forms">
        <form class="joined" onSubmit={find}>
          <label>
            Key
            <input name="key" type="search" required autocomplete="off" spellcheck={false} />
          </label>
          <button type="submit">Find by key</button>
        </form>
        <form class="joined" onSubmit={findId}>
          <label>
            ID of a write, a resource or a request
            <input name="id" type="search" defaultValue={id} autocomplete="off" spellcheck={false} />
          </label>
          <button type="submit">Find by ID</button>
        </form>
      </search>
      <Found companyId={companyId} id={id} base={`${base}/writes`} />
    </CompanyContext.Provider>
  );
}

type Sought = { readonly companyId: string; readonly id: string; readonly base: string };

function Found({ companyId, id, base }: Sought) {
  const path = `/operator/companies/${encodeURIComponent(companyId)}/writes`;
  const asked = (name: string) => (id === '' ? undefined : `${path}?${name}=${encodeURIComponent(id)}`);
  const newest = useAnswer<Page>(id === '' ? `${path}?limit=20` : undefined);
  const byResource = useAnswer<Page>(asked('resource'));
  const byRequest = useAnswer<Page>(asked('requestId'));
  const answers = [newest, byResource, byRequest];
  const isLoading = answers.some((answer) => answer.isLoading);
  const error = answers.find((answer) => answer.error !== undefined)?.error;
  const found = answers.flatMap(({ data }) => data?.items ?? []);
  const writes = [...new Map(found.map((write) => [write.key, write])).values()];
  const heading = id === '' ? 'The newest that have their outcome' : isLoading ? 'Looking' : `${writes.length} found`;
  return (
    <>
      <h2 aria-live="polite">{heading}</h2>
      {error === undefined ? null : <Problem error={error} />}
      <WriteTable writes={isLoading && writes.length === 0 ? undefined : writes} isLoading={isLoading} base={base} />
      {!isLoading && error === undefined && writes.length === 0 ? (
        <p>
          {id === ''
            ? 'No write of this company has its outcome yet.'
            : 'No write of this company that has its outcome has this ID. One that has not is found by its key.'}
        </p>
      ) : null}
    </>
  );
}
