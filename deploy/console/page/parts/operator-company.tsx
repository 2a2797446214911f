/** The way back from what an operator sees of a company. */
export function OperatorCompanyHead({ companyId, name }: { readonly companyId: string; readonly name: string }) {
  return (
    <nav aria-label="Breadcrumb">
      <ul>
        <li>
          <a href="/console/companies">All companies</a>
        </li>
        <li>
          <a href={`/console/companies/${companyId}`}>{name}</a>
        </li>
      </ul>
    </nav>
  );
}
