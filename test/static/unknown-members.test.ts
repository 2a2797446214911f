import { expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';

/** A misspelt member that is ignored would be a write other than the one that was meant. */
test.each(OPERATIONS)('$name refuses a member that it does not know, in its path and in its body', (operation) => {
  const [example] = operation.examples;
  const unknown = expect.objectContaining({ code: 'unrecognized_keys', keys: ['unknown'] });
  for (const [schema, given] of [
    [operation.params, example?.params],
    [operation.body, example?.body],
  ] as const) {
    expect(schema.safeParse(given).error?.issues).toBeUndefined();
    expect(schema.safeParse({ ...given, unknown: 1 }).error?.issues).toEqual([unknown]);
  }
});
