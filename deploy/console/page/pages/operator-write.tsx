import { useRoute } from 'preact-iso/router';
import type { Write } from '../../../client/src/generated/types.ts';
import { CompanyContext } from '../parts/company.tsx';
import { OperatorCompanyHead } from '../parts/operator-company.tsx';
import { Problem } from '../parts/problem.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { useOperatorCompany } from '../parts/use-operator-company.ts';
import { Story } from './write.tsx';

/** For operators: what has become of a write of any company. Asked for once, and again only when told to: each time is recorded. */
export function OperatorWritePage() {
  const { params } = useRoute();
  const companyId = params['companyId'] ?? '';
  const key = params['key'] ?? '';
  useDocumentTitle(key);
  const company = useOperatorCompany(companyId);
  const { data, error, isLoading, again } = useAnswer<Write>(
    `/operator/companies/${encodeURIComponent(companyId)}/writes/${encodeURIComponent(key)}`,
  );
  return (
    <CompanyContext.Provider value={company}>
      <OperatorCompanyHead companyId={companyId} name={company.name} />
      <h1 class="key">{key}</h1>
      {error === undefined ? null : <Problem error={error} onAgain={again} />}
      {data === undefined && error === undefined ? <p aria-busy="true">Asking the API</p> : null}
      {data === undefined ? null : (
        <>
          <Story write={data} />
          <p>
            <button type="button" class="outline" aria-busy={isLoading} onClick={again}>
              Ask again
            </button>
          </p>
          <p>
            <small>
              Operators see no request and no answer of an operation that may tell what somebody is paid. That you have
              read this write is in the security log of the company.
            </small>
          </p>
        </>
      )}
    </CompanyContext.Provider>
  );
}
