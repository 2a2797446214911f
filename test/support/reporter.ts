import { relative } from 'node:path';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

/**
 * Says why tests were skipped, then prints the count as the very last line: `N passed, N failed` and, only where there are
 * such, `, N skipped`.
 *
 * It never says better than it was: a file that does not load, an error that no test caught and a run that never got to
 * its tests (a failing global setup) each count as a failure, and no failure goes with exit code 0.
 */
export default function countReporter(): Reporter {
  let counts: Counts | undefined;
  process.once('exit', (code) => {
    // No count: the run ended before its tests did. That has failed, whatever the exit code says.
    const { passed, failed, skipped } = counts ?? { passed: 0, failed: 1, skipped: [] };
    const isUnexplained = failed === 0 && code !== 0; // e.g. ended by a signal, or a leak that the runner met at its end
    if (failed > 0 && code === 0) process.exitCode = 1;
    for (const line of reasonsOf(skipped)) process.stdout.write(`${line}\n`);
    const end = skipped.length > 0 ? `, ${skipped.length} skipped` : '';
    process.stdout.write(`${passed} passed, ${isUnexplained ? 1 : failed} failed${end}\n`);
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
  skipped: TestCase[];
}

function count(modules: readonly TestModule[], unhandledErrors: number): Counts {
  const counts: Counts = { passed: 0, failed: unhandledErrors, skipped: [] };
  for (const module of modules) {
    let failedTests = 0;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') counts.passed++;
      else if (state === 'skipped') counts.skipped.push(test);
      else failedTests++; // failed, or still pending because its file was cut off
    }
    // A file that fails outside of its tests (on loading, in a hook) has failed once, though no test of it did.
    counts.failed += failedTests === 0 && module.state() === 'failed' ? 1 : failedTests;
  }
  return counts;
}

/** One line a file and reason. A test that skips itself has one (see tools.ts); one that the command line leaves out has none. */
function reasonsOf(skipped: readonly TestCase[]): string[] {
  const numbers = new Map<string, number>();
  for (const test of skipped) {
    const result = test.result();
    const reason = (result.state === 'skipped' && result.note) || 'left out by a filter, or by a hook that failed';
    const line = `${relative(process.cwd(), test.module.moduleId)}: ${reason}`;
    numbers.set(line, (numbers.get(line) ?? 0) + 1);
  }
  return [...numbers].map(([line, number]) => `${number} skipped in ${line}`);
}
