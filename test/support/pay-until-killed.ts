/**
 * A nightly run: it first sends again what its last run has begun and not finished, and then makes payments, many at a time,
 * until it is killed. It prints the key of each write whose outcome it has learnt.
 *
 *   pay-until-killed.ts URL TOKEN_FILE KEY_FILE INVOICE PAYMENTS
 */
import { createCalls } from '../../deploy/client/src/calls.ts';
import { fileKeyStore, tokenFile } from '../../deploy/client/src/node.ts';
import { paymentBody } from './effects.ts';

const AT_ONCE = 24;

const [baseUrl = '', tokenPath = '', keyPath = '', invoiceId = '', payments = '0'] = process.argv.slice(2);
const keyStore = fileKeyStore(keyPath);
const { submit, write } = createCalls({ baseUrl, token: tokenFile(tokenPath), keyStore });
let left = Number(payments);

for (const kept of keyStore.pending()) report((await submit(kept)).idempotencyKey);
await Promise.all(Array.from({ length: AT_ONCE }, lane));
await keyStore.close();

async function lane(): Promise<void> {
  while (left > 0) {
    left -= 1;
    const about = { operation: 'createPayment', method: 'POST', path: '/api/payments' } as const;
    report((await write({ ...about, body: paymentBody(invoiceId, 1) }, undefined)).idempotencyKey);
  }
}

function report(key: string): void {
  process.stdout.write(`${key}\n`);
}
