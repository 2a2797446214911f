import type { DocumentAmount, Operation, Written } from '../operation.ts';
import { ROLES, type Role } from '../roles.ts';

/** Which writes of an operation wait for whose approval; as the API shows it, and as the database keeps it. */
export type ApprovalPolicy = {
  readonly operation: string;
  /** Minor units; null: whatever the amount. */
  readonly amountFrom: number | null;
  /** Null: whatever the currency. */
  readonly currency: string | null;
  readonly approverRoles: readonly Role[];
  /** How many people have to approve. */
  readonly count: number;
  readonly expiresAfterHours: number;
};

/** What a matching policy asks for: so many approvals by people who hold one of the roles. */
export type Demand = { readonly roles: readonly Role[]; readonly count: number };

/** What a write waits for. Each of the demands has to be met; the shortest time counts. */
export type Demands = { readonly demands: readonly Demand[]; readonly expiresAfterHours: number };

/** Those who can read something of the company: nobody can approve what they cannot see. */
export const APPROVER_ROLES = ROLES.filter((role) => !['employee', 'customer', 'user'].includes(role));

export const DEFAULT_EXPIRY_HOURS = 168;

/** What the policies ask of a write that would leave this behind; undefined if nothing. */
export function demandsOf(
  policies: readonly ApprovalPolicy[],
  operation: Pick<Operation, 'name' | 'approvalAmount'>,
  written: Pick<Written, 'body' | 'moved'>,
): Demands | undefined {
  const own = policies.filter((policy) => policy.operation === operation.name);
  if (own.length === 0) return undefined;
  const total = operation.approvalAmount?.(written);
  const matching = own.filter((policy) => matches(policy, total));
  if (matching.length === 0) return undefined;
  return {
    demands: matching.map(({ approverRoles: roles, count }) => ({ roles, count })),
    expiresAfterHours: Math.min(...matching.map(({ expiresAfterHours }) => expiresAfterHours)),
  };
}

function matches({ amountFrom, currency }: ApprovalPolicy, total: DocumentAmount | undefined): boolean {
  if (currency !== null && total?.currency !== currency) return false;
  // A document with the currency that has been asked for has an amount.
  return amountFrom === null || (total !== undefined && total.amount >= BigInt(amountFrom));
}

/** Whether some write that had to be approved before need not be so any more, or by fewer people, or by others as well. */
export function isLowered(before: readonly ApprovalPolicy[], after: readonly ApprovalPolicy[]): boolean {
  return before.some((old) => !after.some((now) => covers(now, old)));
}

function covers(now: ApprovalPolicy, old: ApprovalPolicy): boolean {
  return (
    now.operation === old.operation &&
    (now.amountFrom === null || (old.amountFrom !== null && now.amountFrom <= old.amountFrom)) &&
    (now.currency === null || now.currency === old.currency) &&
    now.approverRoles.every((role) => old.approverRoles.includes(role)) &&
    now.count >= old.count
  );
}
