import { z } from 'zod';
import { APPROVER_ROLES, type ApprovalPolicy, DEFAULT_EXPIRY_HOURS, isLowered } from '../approvals/policies.ts';
import type { Tx } from '../database.ts';
import { currency, tolerance, version } from '../fields.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import { approvalPoliciesResource, readPolicies, toPolicies } from '../resources/approval-policies.ts';
import { holdsOneOf } from '../roles.ts';

const MAX_POLICIES = 100;
const MAX_EXPIRY_HOURS = 8_760;

/** With a policy for one of these that nobody can meet, nobody could ever lift it. */
const WAYS_OUT: readonly string[] = ['updateApprovalPolicies', 'grantUserAccess'];

const policy = z.strictObject({
  operation: z.string().regex(/^[a-z][A-Za-z]{0,63}$/, 'must be the name of an operation'),
  amountFrom: tolerance().nullable().default(null),
  currency: currency().nullable().default(null),
  approverRoles: z
    .array(z.enum(APPROVER_ROLES))
    .min(1)
    .max(APPROVER_ROLES.length)
    .refine((roles) => new Set(roles).size === roles.length, 'must not name a role twice'),
  count: z.int().min(1).max(3).default(1),
  expiresAfterHours: z.int().min(1).max(MAX_EXPIRY_HOURS).default(DEFAULT_EXPIRY_HOURS),
});

export const updateApprovalPolicies = defineOperation({
  name: 'updateApprovalPolicies',
  type: 'high-risk',
  summary: 'Say which writes wait for whose approval',
  description:
    'Replaces all policies of the company if the current version is `expectedVersion`; the first is version 1, without any policy. ' +
    'A policy matches each write of its operation whose document has a total of at least `amountFrom` in `currency`; null matches ' +
    'whatever there is. Such a write waits: it is answered 202 and is executed once `count` people who hold one of `approverRoles` ' +
    '(not employee, customer or user), none of whom has asked for it, have approved it. Where several policies match, each has to be met. After `expiresAfterHours` it is ' +
    'rejected. What waits already keeps what was asked for it. A policy for `updateApprovalPolicies` itself holds for the next change.',
  method: 'PATCH',
  path: '/api/company/approval-policies',
  params: z.strictObject({}),
  body: z.strictObject({ expectedVersion: version(), policies: z.array(policy).max(MAX_POLICIES) }),
  schemaVersion: 1,
  roles: ['owner'],
  successStatus: 200,
  resource: approvalPoliciesResource,
  event: 'approval_policies.updated',
  effects: { posts: 'never' },
  rejections: {
    version_conflict: { status: 409, title: 'The policies were changed meanwhile', nextAction: 'fix_request' },
    policy_operation_unknown: { status: 422, title: 'There is no such operation', nextAction: 'fix_request' },
    policy_amount_unknown: {
      status: 422,
      title: 'The operation has no amount that a policy could ask for',
      nextAction: 'fix_request',
    },
    approvers_missing: {
      status: 422,
      title: 'The company has too few members who could approve',
      nextAction: 'fix_request',
    },
  },
  constraints: { approval_policies_pkey: 'version_conflict' },
  examples: [
    {
      name: 'policies',
      summary: 'Refunds from 50,000.00 dollars on need the approval of an owner or admin',
      params: {},
      body: {
        expectedVersion: 1,
        policies: [
          {
            operation: 'createRefund',
            amountFrom: 5_000_000,
            currency: 'USD',
            approverRoles: ['owner', 'admin'],
            count: 1,
            expiresAfterHours: 72,
          },
        ],
      },
    },
  ],
  summarize: ({ body }) => `updateApprovalPolicies from version ${body.expectedVersion}`,

  async write(tx, { body }, context) {
    const current = await readPolicies(tx);
    if (body.expectedVersion !== current.version) {
      throw context.reject('version_conflict', `The policies are at version ${current.version}.`, '/expectedVersion');
    }
    for (const [index, one] of body.policies.entries()) requireOperation(one, `/policies/${index}`, context);
    await requireApprovers(tx, body.policies, context);
    const next = { version: current.version + 1, policies: body.policies };
    await tx.query('INSERT INTO approval_policies (company_id, version, policies, write_id) VALUES ($1, $2, $3, $4)', [
      context.companyId,
      next.version,
      JSON.stringify(next.policies),
      context.writeId,
    ]);
    const lowered = isLowered(current.policies, next.policies);
    return {
      resourceId: context.companyId,
      location: approvalPoliciesResource.reads,
      body: toPolicies(next),
      auditMetadata: { before: current.policies, after: next.policies },
      security: lowered
        ? [
            {
              event: 'control_lowered',
              reason: 'approvalPolicies',
              details: { before: current.version, after: next.version },
            },
          ]
        : [],
    };
  },
});

function requireOperation(
  { operation, amountFrom, currency: wanted }: ApprovalPolicy,
  pointer: `/${string}`,
  context: WriteContext<'policy_operation_unknown' | 'policy_amount_unknown'>,
): void {
  const known = context.operations.find(({ name }) => name === operation);
  if (known === undefined) {
    throw context.reject('policy_operation_unknown', `There is no operation ${operation}.`, `${pointer}/operation`);
  }
  if (known.approvalAmount !== undefined || (amountFrom === null && wanted === null)) return;
  throw context.reject(
    'policy_amount_unknown',
    `${operation} has no amount: leave out amountFrom and currency.`,
    amountFrom === null ? `${pointer}/currency` : `${pointer}/amountFrom`,
  );
}

async function requireApprovers(
  tx: Tx,
  policies: readonly ApprovalPolicy[],
  context: WriteContext<'approvers_missing'>,
): Promise<void> {
  const risky = [...policies.entries()].filter(([, { operation }]) => WAYS_OUT.includes(operation));
  if (risky.length === 0) return;
  const others = await tx.query<{ roles: string[] }>(
    'SELECT roles FROM memberships WHERE company_id = current_company() AND user_id <> $1',
    [context.userId],
  );
  for (const [index, { operation, approverRoles, count }] of risky) {
    const able = others.filter(({ roles }) => holdsOneOf(roles, approverRoles)).length;
    if (able >= count) continue;
    throw context.reject(
      'approvers_missing',
      `Besides you, ${able} members hold one of these roles: no change of ${operation} could be approved by ${count}.`,
      `/policies/${index}/approverRoles`,
    );
  }
}
