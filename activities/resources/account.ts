/** The account as the API shows it, and the columns that it is made of. */
export const ACCOUNT_COLUMNS = 'code, name, type, is_bank, is_control, created_at';

export type AccountRow = {
  code: string;
  name: string;
  type: 'asset' | 'liability' | 'equity' | 'income' | 'expense';
  is_bank: boolean;
  is_control: boolean;
  created_at: string;
};

export function toAccount(row: AccountRow) {
  return {
    code: row.code,
    name: row.name,
    type: row.type,
    isBank: row.is_bank,
    isControl: row.is_control,
    createdAt: row.created_at,
  };
}
