import { z } from 'zod';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { id } from '../fields.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import { ACCESS_COLUMNS, type AccessRow, accessResource, toAccess } from '../resources/access.ts';
import { ROLES, type Role } from '../roles.ts';

export const grantUserAccess = defineOperation({
  name: 'grantUserAccess',
  type: 'high-risk',
  summary: 'Say what a person may do in the company',
  description:
    'The roles given replace those the person has; none (`[]`) ends the membership. Someone who is no member yet is named by ' +
    'their ID. A role is granted only by a member who may do all that it allows: an admin grants each but owner, and only an ' +
    'owner changes what an owner may do. The last owner stays.',
  method: 'POST',
  path: '/api/users/:userId/access',
  params: z.strictObject({ userId: id() }),
  body: z.strictObject({
    roles: z
      .array(z.enum(ROLES))
      .max(ROLES.length)
      .refine((roles) => new Set(roles).size === roles.length, 'must name each role once')
      .meta({ uniqueItems: true, description: 'None: no member any more' }),
  }),
  schemaVersion: 1,
  roles: ['owner', 'admin'],
  successStatus: 200,
  resource: accessResource,
  event: 'user_access.granted',
  effects: { posts: 'never' },
  rejections: {
    user_not_found: { status: 404, title: 'There is no such user' },
    role_escalation: { status: 403, title: 'No one grants more than they hold' },
    last_owner: { status: 409, title: 'The last owner stays' },
  },
  constraints: { last_owner: 'last_owner' },
  examples: [
    {
      name: 'grant',
      summary: 'A newcomer looks after customers and stock',
      params: { userId: DEMO.newcomerId },
      body: { roles: ['manager', 'inventory_manager'] },
    },
  ],
  summarize: ({ params, body }) => `grantUserAccess ${params.userId}: ${body.roles.join(', ') || 'none'}`,

  async write(tx, { params: { userId }, body: { roles } }, context) {
    const { granter, known } = await lockAccess(tx, context);
    const held = await readHeld(tx, userId, context);
    if (held === undefined && (roles.length === 0 || !(await known(userId)))) {
      throw context.reject('user_not_found', `There is no user ${userId} to grant that to.`, '/userId', 'path');
    }
    const concernsOwner = roles.includes('owner') || held?.roles.includes('owner') === true;
    if (concernsOwner && !granter.includes('owner')) {
      throw context.reject('role_escalation', 'Only an owner makes an owner, or changes what one may do.', '/roles');
    }
    const row = roles.length === 0 ? await revoke(tx, held, context) : await grant(tx, userId, roles, context);
    return {
      resourceId: row.user_id,
      body: toAccess(row),
      auditMetadata: { rolesBefore: held?.roles ?? [], roles: row.roles },
    };
  },
});

/**
 * Whoever may call this but an owner is an admin, whose operations include those of every role but that one's
 * (`test/system/access.test.ts` holds the roles of all operations to it); so the owner's is the only role to be asked about.
 */
async function lockAccess(tx: Tx, { companyId, userId }: WriteContext) {
  const [locked] = await tx.query<{ member_roles: string[] | null }>('SELECT member_roles FROM lock_company($1, $2)', [
    companyId,
    userId,
  ]);
  return {
    granter: locked?.member_roles ?? [],
    async known(candidate: string): Promise<boolean> {
      const [answer] = await tx.query<{ known: boolean }>('SELECT user_exists($1) AS known', [candidate]);
      return answer?.known === true;
    },
  };
}

async function readHeld(tx: Tx, userId: string, { companyId }: WriteContext): Promise<AccessRow | undefined> {
  const [row] = await tx.query<AccessRow>(
    `SELECT ${ACCESS_COLUMNS} FROM memberships m JOIN users u ON u.id = m.user_id
     WHERE m.company_id = $1 AND m.user_id = $2`,
    [companyId, userId],
  );
  return row;
}

async function grant(tx: Tx, userId: string, roles: readonly Role[], context: WriteContext): Promise<AccessRow> {
  await tx.query(
    `INSERT INTO memberships (company_id, user_id, roles) VALUES ($1, $2, $3)
     ON CONFLICT (company_id, user_id) DO UPDATE SET roles = excluded.roles`,
    [context.companyId, userId, roles],
  );
  // Now that they are a member, their e-mail can be seen.
  const row = await readHeld(tx, userId, context);
  if (row === undefined) throw new Error('Bug! A member who cannot be seen');
  return row;
}

async function revoke(tx: Tx, held: AccessRow | undefined, { companyId }: WriteContext): Promise<AccessRow> {
  if (held === undefined) throw new Error('Bug! Nothing to revoke');
  await tx.query('DELETE FROM memberships WHERE company_id = $1 AND user_id = $2', [companyId, held.user_id]);
  return { ...held, roles: [] };
}
