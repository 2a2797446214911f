/** `npm run verify:financial-contract`: payments, invoices, payroll, the ledger. */
import { verifyContract } from './command.ts';

await verifyContract('financial');
