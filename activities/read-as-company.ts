import { type Pool, type Tx, transaction } from './database.ts';

/** Reads in one snapshot as the application does in that company: row-level security hides all that is not the company's. */
export function readAsCompany<T>(reads: Pool, companyId: string, work: (tx: Tx) => Promise<T>): Promise<T> {
  return transaction(reads, async (tx) => {
    await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
    await tx.query('SELECT enter_company($1)', [companyId]);
    return work(tx);
  });
}
