import { z } from 'zod';
import { APPROVER_ROLES, type ApprovalPolicy } from '../approvals/policies.ts';
import type { Tx } from '../database.ts';
import type { ResourceType } from '../operation.ts';
import { currencyCode } from './members.ts';

/** The policies of a company with their version. The first is that of a company which has never set any. */
export type PolicyVersion = { readonly version: number; readonly policies: readonly ApprovalPolicy[] };

export async function readPolicies(tx: Tx): Promise<PolicyVersion> {
  const [newest] = await tx.query<PolicyVersion>(
    `SELECT version, policies FROM approval_policies WHERE company_id = current_company() ORDER BY version DESC LIMIT 1`,
  );
  return newest ?? { version: 1, policies: [] };
}

/** The API's form of the approval policies. */
export function toPolicies({ version, policies }: PolicyVersion): z.output<typeof approvalPoliciesSchema> {
  return {
    version,
    policies: policies.map(({ operation, amountFrom, currency, approverRoles, count, expiresAfterHours }) => ({
      operation,
      amountFrom,
      currency,
      approverRoles: [...approverRoles],
      count,
      expiresAfterHours,
    })),
  };
}

export const approvalPoliciesSchema = z.object({
  version: z.int().min(1),
  policies: z.array(
    z.object({
      operation: z.string(),
      amountFrom: z.int().nullable().meta({ description: 'Minor units; null: whatever the amount' }),
      currency: currencyCode().nullable(),
      approverRoles: z.array(z.enum(APPROVER_ROLES)),
      count: z.int().meta({ description: 'How many people have to approve' }),
      expiresAfterHours: z.int(),
    }),
  ),
});

export const approvalPoliciesResource: ResourceType = {
  type: 'approvalPolicies',
  reads: '/api/company/approval-policies',
  schema: approvalPoliciesSchema,
};
