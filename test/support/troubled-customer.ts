import { TransientFailure } from '../../activities/failures.ts';
import type { Operation } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { oneByOne } from './one-by-one.ts';

/** What befalls one attempt, after all of its own statements. */
export type Trouble = 'transient' | 'bug' | 'slow';

/** Longer than the shortest wait of a client. */
const SLOW_S = 1.2;

/** createCustomer, whose attempts go as `troubles` says for the key that its customer's name begins with, in order. */
export function troubledCustomer(troubles: ReadonlyMap<string, Trouble[]>): Operation {
  return {
    ...oneByOne(createCustomer),
    async write(tx, input, context) {
      const [key = ''] = String(input.body['name']).split(' ');
      const trouble = troubles.get(key)?.shift();
      const written = await createCustomer.write(tx, input, context);
      if (trouble === 'slow') await tx.query(`SELECT pg_sleep(${SLOW_S})`);
      if (trouble === 'transient') throw new TransientFailure('Undone by the test', { mayHaveCommitted: false });
      if (trouble === 'bug') throw new Error('A bug of the test');
      return written;
    },
  };
}
