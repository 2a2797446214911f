import { z } from 'zod';
import type { ResourceType } from '../operation.ts';
import { ROLES } from '../roles.ts';
import { resourceId } from './members.ts';

/**
 * The API's form of a membership and its columns; `m` is the membership, `u` the user. Who grants access by ID learns no
 * address by that: it is shown once the member has used the company.
 */
export const ACCESS_COLUMNS = 'm.user_id, CASE WHEN NOT m.unseen THEN u.email END AS email, m.roles';

export type AccessRow = { user_id: string; email: string | null; roles: z.output<typeof accessSchema>['roles'] };

export function toAccess(row: AccessRow): z.output<typeof accessSchema> {
  return { userId: row.user_id, email: row.email, roles: row.roles };
}

export const accessSchema = z.object({
  userId: resourceId(),
  email: z.string().nullable().meta({ description: 'null until the member has used the company' }),
  roles: z.array(z.enum(ROLES)).meta({ description: 'Empty: the user is no longer a member' }),
});

export const accessResource: ResourceType = { type: 'access', reads: '/api/users', schema: accessSchema };
