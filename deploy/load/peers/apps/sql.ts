/** Plain SQL as most teams write it. */
import { openPaymentPool, servePayments } from './service.ts';
import { payInFourStatements } from './write-payment.ts';

const pool = openPaymentPool();
await servePayments((command) => payInFourStatements(pool, command));
