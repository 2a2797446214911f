import type { Reporter, TestModule } from 'vitest/node';

/**
 * Prints the count as the very last line: `N passed, N failed` and, only where there are such, `, N skipped`.
 *
 * It never says better than it was: a file that does not load, an error that no test caught and a run that never got to
 * its tests (a failing global setup) each count as a failure, and no failure goes with exit code 0.
 */
export default function countReporter(): Reporter {
  let counts: Counts | undefined;
  process.once('exit', (code) => {
    // No count: the run ended before its tests did. That has failed, whatever the exit code says.
    const { passed, failed, skipped } = counts ?? { passed: 0, failed: 1, skipped: 0 };
    const isUnexplained = failed === 0 && code !== 0; // e.g. ended by a signal, or a leak that the runner met at its end
    if (failed > 0 && code === 0) process.exitCode = 1;
    const line = `${passed} passed, ${isUnexplained ? 1 : failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
    process.stdout.write(`${line}\n`);
  });
  return {
    onTestRunEnd(modules, unhandledErrors, reason) {
      counts = count(modules, unhandledErrors.length);
      if (reason !== 'passed' && counts.failed === 0) counts.failed = 1; // interrupted, or no test file was found
    },
  };
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

function count(modules: readonly TestModule[], unhandledErrors: number): Counts {
  const counts: Counts = { passed: 0, failed: unhandledErrors, skipped: 0 };
  for (const module of modules) {
    let failedTests = 0;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') counts.passed++;
      else if (state === 'skipped') counts.skipped++;
      else failedTests++; // failed, or still pending because its file was cut off
    }
    // A file that fails outside of its tests (on loading, in a hook) has failed once, though no test of it did.
    counts.failed += failedTests === 0 && module.state() === 'failed' ? 1 : failedTests;
  }
  return counts;
}
