import { z } from 'zod';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { id } from '../fields.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import { ACCESS_COLUMNS, type AccessRow, accessResource, toAccess } from '../resources/access.ts';
import { ROLES, type Role } from '../roles.ts';
import type { SecurityFact } from '../security/security-row.ts';

export const grantUserAccess = defineOperation({
  name: 'grantUserAccess',
  type: 'high-risk',
  summary: 'Set the roles of a user in the company',
  description:
    'The given roles replace the user’s current ones; an empty list ends the membership. A user who is not a member yet is ' +
    'named by ID, and their e-mail address is null until they have used the company. Nobody can grant more than they hold: an admin can grant every role except owner, and only an owner can ' +
    'change the roles of an owner. The last owner cannot be removed.',
  method: 'POST',
  path: '/api/users/:userId/access',
  params: z.strictObject({ userId: id() }),
  body: z.strictObject({
    roles: z
      .array(z.enum(ROLES))
      .max(ROLES.length)
      .refine((roles) => new Set(roles).size === roles.length, 'must name each role once')
      .meta({ uniqueItems: true, description: 'Empty: the user is no longer a member' }),
  }),
  schemaVersion: 1,
  roles: ['owner', 'admin'],
  successStatus: 200,
  resource: accessResource,
  event: 'user_access.granted',
  effects: { posts: 'never' },
  rejections: {
    user_not_found: { status: 404, title: 'There is no such user' },
    role_escalation: { status: 403, title: 'Nobody can grant more than they hold' },
    last_owner: { status: 409, title: 'The last owner cannot be removed' },
  },
  constraints: { last_owner: 'last_owner' },
  examples: [
    {
      name: 'grant',
      summary: 'A new member who manages customers and stock',
      params: { userId: DEMO.newcomerId },
      body: { roles: ['manager', 'inventory_manager'] },
    },
  ],
  summarize: ({ params, body }) => `grantUserAccess ${params.userId}: ${body.roles.join(', ') || 'none'}`,

  async write(tx, { params: { userId }, body: { roles } }, context) {
    const { granterRoles, userExists } = await lockAccess(tx, context);
    const membership = await readMembership(tx, userId, context);
    if (membership === undefined && (roles.length === 0 || !(await userExists(userId)))) {
      throw context.reject('user_not_found', `There is no such user: ${userId}.`, '/userId', 'path');
    }
    const concernsOwner = roles.includes('owner') || membership?.roles.includes('owner') === true;
    if (concernsOwner && !granterRoles.includes('owner')) {
      throw context.reject(
        'role_escalation',
        'Only an owner can grant the role owner or change the roles of an owner.',
        '/roles',
      );
    }
    const row = roles.length === 0 ? await revoke(tx, membership, context) : await grant(tx, userId, roles, context);
    // Checked now, and not at the end of the transaction: what cannot be done waits for nobody's approval.
    if (membership?.roles.includes('owner')) await tx.query('SET CONSTRAINTS keep_last_owner IMMEDIATE');
    return {
      resourceId: row.user_id,
      body: toAccess(row),
      auditMetadata: { rolesBefore: membership?.roles ?? [], roles: row.roles },
      security: powersGranted(userId, membership?.roles ?? [], row.roles),
    };
  },
});

/** Owners and admins can grant access themselves: whoever becomes one is in the security log. */
function powersGranted(userId: string, rolesBefore: readonly Role[], roles: readonly Role[]): SecurityFact[] {
  return (['owner', 'admin'] as const)
    .filter((role) => roles.includes(role) && !rolesBefore.includes(role))
    .map((role) => ({ event: 'privilege_granted', reason: role, details: { userId, rolesBefore, roles } }));
}

/**
 * Locks the company and reads the caller's roles. Only owners and admins may call this operation, and an admin may do all
 * that any role except owner allows (`test/system/access.test.ts` checks this for all operations). So `owner` is the only
 * role whose grant needs a check.
 */
async function lockAccess(tx: Tx, { companyId, userId }: WriteContext) {
  const [locked] = await tx.query<{ member_roles: string[] | null }>(
    'SELECT member_roles FROM lock_company_row($1, $2)',
    [companyId, userId],
  );
  return {
    granterRoles: locked?.member_roles ?? [],
    async userExists(candidate: string): Promise<boolean> {
      const [answer] = await tx.query<{ known: boolean }>('SELECT user_exists($1) AS known', [candidate]);
      return answer?.known === true;
    },
  };
}

async function readMembership(tx: Tx, userId: string, { companyId }: WriteContext): Promise<AccessRow | undefined> {
  const [row] = await tx.query<AccessRow>(
    `SELECT ${ACCESS_COLUMNS} FROM memberships m JOIN users u ON u.id = m.user_id
     WHERE m.company_id = $1 AND m.user_id = $2`,
    [companyId, userId],
  );
  return row;
}

async function grant(tx: Tx, userId: string, roles: readonly Role[], context: WriteContext): Promise<AccessRow> {
  await tx.query(
    `INSERT INTO memberships (company_id, user_id, roles, unseen) VALUES ($1, $2, $3, true)
     ON CONFLICT (company_id, user_id) DO UPDATE SET roles = excluded.roles`,
    [context.companyId, userId, roles],
  );
  // Row-level security shows the row of a user only now that they are a member.
  const row = await readMembership(tx, userId, context);
  if (row === undefined) throw new Error('Bug! The new member is not visible');
  return row;
}

async function revoke(tx: Tx, membership: AccessRow | undefined, { companyId }: WriteContext): Promise<AccessRow> {
  if (membership === undefined) throw new Error('Bug! There is no membership to revoke');
  await tx.query('DELETE FROM memberships WHERE company_id = $1 AND user_id = $2', [companyId, membership.user_id]);
  return { ...membership, roles: [] };
}
