import { useLocation, useRoute } from 'preact-iso/router';
import type { WriteSummary } from '../../../client/src/generated/types.ts';
import { mayBeRequest, mayBeResource } from '../find-question.ts';
import { CompanyContext } from '../parts/company.tsx';
import { fieldText } from '../parts/field-text.ts';
import { Found } from '../parts/found.tsx';
import { More } from '../parts/more.tsx';
import { OperatorCompanyHead } from '../parts/operator-company.tsx';
import { Problem } from '../parts/problem.tsx';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { useOperatorCompany } from '../parts/use-operator-company.ts';
import { usePages } from '../parts/use-pages.ts';
import { WriteTable } from '../parts/write-table.tsx';

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
      {id === '' ? (
        <Newest companyId={companyId} base={`${base}/writes`} />
      ) : (
        <FoundById companyId={companyId} id={id} base={`${base}/writes`} />
      )}
    </CompanyContext.Provider>
  );
}

type Sought = { readonly companyId: string; readonly id: string; readonly base: string };

function Newest({ companyId, base }: Omit<Sought, 'id'>) {
  const { first, items, more, error } = usePages<WriteSummary>(`${pathOf(companyId)}?limit=20`);
  return (
    <>
      <h2>The newest that have their outcome</h2>
      {first.error === undefined ? null : <Problem error={first.error} onAgain={first.again} />}
      <WriteTable writes={first.data === undefined ? undefined : items} isLoading={first.isLoading} base={base} />
      {first.data?.items.length === 0 ? <p>No write of this company has its outcome yet.</p> : null}
      <More more={more} error={error} />
    </>
  );
}

function FoundById({ companyId, id, base }: Sought) {
  const asked = (name: string) => `${pathOf(companyId)}?${name}=${encodeURIComponent(id)}&limit=50`;
  const lists = [
    usePages<WriteSummary>(mayBeResource(id) ? asked('resource') : undefined),
    usePages<WriteSummary>(mayBeRequest(id) ? asked('requestId') : undefined),
  ];
  const writes = [...new Map(lists.flatMap(({ items }) => items).map((write) => [write.key, write])).values()];
  return (
    <Found answers={lists.map(({ first }) => first)} writes={writes} lists={lists} base={base}>
      <p>No write of this company that has its outcome has this ID. One that has not is found by its key.</p>
    </Found>
  );
}

function pathOf(companyId: string): string {
  return `/operator/companies/${encodeURIComponent(companyId)}/writes`;
}
