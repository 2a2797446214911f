import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/quiet-runtime.ts'],
    reporters: ['default', './test/support/reporter.ts'],
    // Processes, not threads: the Temporal worker is native code, and a file that leaks one must not harm the next.
    pool: 'forks',
    maxWorkers: 2,
    // Real servers on a busy machine: these limits end a hang, they measure nothing.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
  },
});
