/**
 * A program that keeps writes, many at a time, until it is killed. It prints the key of each that is kept, and of each that it
 * has settled, in lines of its own; what was kept before, it leaves alone.
 *
 *   keep-writes.ts FILE PREFIX
 */
import { fileKeyStore } from '../../deploy/client/src/node.ts';

const AT_ONCE = 16;
/** One of so many stays pending. */
const PENDING_OF = 4;

const [file = '', prefix = ''] = process.argv.slice(2);
const store = fileKeyStore(file);
let next = 0;

async function lane(): Promise<never> {
  for (;;) {
    next += 1;
    const number = next;
    const idempotencyKey = `${prefix}-${number}`;
    const body = JSON.stringify({ number, text: 'x'.repeat(number % 500) });
    await store.keep({ idempotencyKey, operation: 'createPayment', method: 'POST', path: '/api/payments', body });
    process.stdout.write(`kept ${idempotencyKey}\n`);
    if (number % PENDING_OF === 0) continue;
    await store.settle(idempotencyKey);
    process.stdout.write(`settled ${idempotencyKey}\n`);
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, lane));
