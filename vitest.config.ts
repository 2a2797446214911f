import { defineConfig } from 'vitest/config';

/** `npm run test:slow` asks for the long forms; see test/support/form.ts. */
const form = process.env['TEST_FORM'] === 'long' ? 'long' : 'short';

/** The tests of the running system share PostgreSQL, Temporal and the workflow bundle. */
export const servers = {
  globalSetup: ['test/support/global-setup.ts'],
  setupFiles: ['test/support/quiet-runtime.ts'],
};

export default defineConfig({
  test: {
    reporters: ['default', './test/support/reporter.ts'],
    // Processes, not threads: the Temporal worker is native code.
    pool: 'forks',
    // Three times the two cores of a small machine: most tests wait for a server or a timer most of their time. Measured with
    // twice the cores, a fifth of the CPU was idle.
    maxWorkers: 6,
    // Real servers on a busy machine: these limits end a hang, they measure nothing.
    testTimeout: 180_000,
    hookTimeout: 240_000,
    teardownTimeout: 30_000,
    // A second by default, which ends more than hangs.
    expect: { poll: { timeout: 60_000 } },
    provide: { form },
    projects: [
      // Vitest runs projects by their names' order: the longest tests start first.
      {
        extends: true,
        test: {
          name: 'slow',
          include: ['test/slow/**/*.test.ts'],
          // What has no short form: clusters of its own, many processes, or every operation in turn.
          exclude: form === 'long' ? [] : ['test/slow/long/**'],
          // Some long ones restore a cluster several times, and one replaces a module of ours, which must not reach the next.
          ...(form === 'long' ? { testTimeout: 600_000 } : { isolate: false }),
          ...servers,
        },
      },
      // A process runs many files: loading our modules and Temporal's native core takes longer than most of the tests.
      { extends: true, test: { name: 'static', include: ['test/static/**/*.test.ts'], isolate: false } },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts', 'test/security/**/*.test.ts'],
          isolate: false,
          ...servers,
        },
      },
    ],
  },
});
