import type { OperatorCompany } from '../../../client/src/generated/types.ts';
import type { Company } from './company.tsx';
import { useAnswer } from './use-answer.ts';

/** The company that an operator looks at, of which they have no role; without a name while it is not known. */
export function useOperatorCompany(companyId: string): Company {
  const { data } = useAnswer<{ items: readonly OperatorCompany[] }>(
    `/operator/companies?id=${encodeURIComponent(companyId)}`,
  );
  const [company] = data?.items ?? [];
  return {
    name: company?.name ?? '',
    timeZone: company?.timeZone ?? 'UTC',
    currency: undefined,
    roles: [],
    userId: '',
  };
}
