import { z } from 'zod';
import type { ResourceType } from '../operation.ts';
import { instant, resourceId } from './members.ts';

/** The API's form of an account and its columns. */
export const ACCOUNT_COLUMNS = 'id, code, name, type, is_bank, is_control, created_at';

export type AccountRow = {
  id: string;
  code: string;
  name: string;
  type: 'asset' | 'liability' | 'equity' | 'income' | 'expense';
  is_bank: boolean;
  is_control: boolean;
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
  createdAt: instant(),
});

export const accountResource: ResourceType = { type: 'account', reads: '/api/ledger/accounts', schema: accountSchema };
