import type { OperatorCompany } from '../../../client/src/generated/types.ts';
import type { Company } from './company.tsx';
import { useAnswer } from './use-answer.ts';

/** The company that an operator looks at, of which they have no role. While its name is not known, its place is held. */
export function useOperatorCompany(companyId: string): Company {
  const { data, isLoading } = useAnswer<{ items: readonly OperatorCompany[] }>(
    `/operator/companies?id=${encodeURIComponent(companyId)}`,
  );
  const [company] = data?.items ?? [];
  return {
    name: company?.name ?? (isLoading ? '…' : companyId),
    timeZone: company?.timeZone ?? 'UTC',
    currency: undefined,
    hasWebhook: false,
    roles: [],
    userId: '',
  };
}
