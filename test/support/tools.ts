import { spawnSync } from 'node:child_process';
import type { TestContext } from 'vitest';

/** Programs that not every machine has. `.ci/run` installs them: there a skipped test is a failure. */
export type Tool = 'prometheus' | 'promtool';

export function isInstalled(tool: Tool): boolean {
  return spawnSync(tool, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** Skips the test where the tool is missing, and says so. */
export function skipWithout(tool: Tool, { skip }: Pick<TestContext, 'skip'>): void {
  skip(!isInstalled(tool), `${tool} is not installed (Debian and Ubuntu: apt-get install prometheus)`);
}
