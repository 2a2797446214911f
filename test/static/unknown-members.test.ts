import { expect, test } from 'vitest';
import type { z } from 'zod';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { payloadsInWords, REGISTERED_WORKFLOWS } from '../../activities/registered-workflows.ts';

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

test.each(REGISTERED_WORKFLOWS)(
  '$name refuses a member of its payload that it does not know, and describes the others',
  ({ payload }) => {
    expect(payload.safeParse({}).error).toBeUndefined();
    expect(payload.safeParse({ unknown: 1 }).error?.issues).toMatchObject([{ code: 'unrecognized_keys' }]);
    for (const [member, schema] of Object.entries(payload.shape)) {
      expect(payloadsInWords()).toContain(`\`${member}\` (${(schema as z.ZodType).description})`);
    }
  },
);
