import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { oneByOne } from './one-by-one.ts';

/** The operations with a bug of createInventoryItem: an attempt at an item whose SKU meets it fails as no retry can help. */
export function withItemBug(meets: (sku: string) => boolean): readonly Operation[] {
  return OPERATIONS.map((operation) =>
    operation.name === 'createInventoryItem' ? withBug(operation, meets) : operation,
  );
}

function withBug(operation: Operation, meets: (sku: string) => boolean): Operation {
  return {
    ...oneByOne(operation),
    async write(tx, input, context) {
      if (meets((input.body as { sku: string }).sku)) throw new TypeError('A bug of a test');
      return operation.write(tx, input, context);
    },
  };
}
