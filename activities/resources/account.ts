import { z } from 'zod';
import { ACCOUNT_ROLES, type AccountRole } from '../ledger/accounts.ts';
import type { ResourceType } from '../operation.ts';
import { instant, resourceId } from './members.ts';

/** The API's form of an account and its columns. */
export const ACCOUNT_COLUMNS = 'id, code, name, type, is_bank, is_control, role, created_at';

export type AccountRow = {
  id: string;
  code: string;
  name: string;
  type: 'asset' | 'liability' | 'equity' | 'income' | 'expense';
  is_bank: boolean;
  is_control: boolean;
  role: AccountRole | null;
  created_at: string;
};

export function toAccount(row: AccountRow): z.output<typeof accountSchema> {
  return {
    id: row.id,
    code: row.code,
    name: row.name,
    type: row.type,
    isBank: row.is_bank,
    isControl: row.is_control,
    role: row.role,
    createdAt: row.created_at,
  };
}

const accountSchema = z.object({
  id: resourceId(),
  code: z.string(),
  name: z.string(),
  type: z.enum(['asset', 'liability', 'equity', 'income', 'expense']),
  isBank: z.boolean(),
  isControl: z.boolean(),
  role: z
    .enum(ACCOUNT_ROLES)
    .nullable()
    .meta({ description: 'What operations use it for; null for an account that the company has added' }),
  createdAt: instant(),
});

export const accountResource: ResourceType = { type: 'account', reads: '/api/ledger/accounts', schema: accountSchema };
