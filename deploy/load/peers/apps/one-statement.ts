/** Plain SQL with the least work: one statement per payment. */
import { openPaymentPool, servePayments } from './service.ts';
import { payInOneStatement, queryOf } from './write-payment.ts';

const query = queryOf(openPaymentPool());
await servePayments((command) => payInOneStatement(query, command));
