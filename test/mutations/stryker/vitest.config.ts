import { defineConfig } from 'vitest/config';

/** The tests that `npm run test:mutations -- --pure` runs: those of the modules that stryker.config.json names. */
export default defineConfig({
  test: {
    include: [
      'test/static/{compare-requests,cursors,idempotency-key,identity,money,paging,preferences,rate-limit}.test.ts',
    ],
    // Mutants that loop are found by the number of their rounds; this limit only ends a hang.
    testTimeout: 180_000,
  },
});
