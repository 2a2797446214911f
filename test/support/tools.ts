import { spawnSync } from 'node:child_process';
import type { TestContext } from 'vitest';

/** Programs that not every machine has. `.ci/run` installs them: there a skipped test is a failure. */
export type Tool = 'prometheus' | 'promtool' | 'chromium';

const PACKAGES = { prometheus: 'prometheus', promtool: 'prometheus', chromium: 'chromium' } as const satisfies Record<
  Tool,
  string
>;

export function isInstalled(tool: Tool): boolean {
  return spawnSync(tool, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** Skips the test where the tool is missing, and says so. */
export function skipWithout(tool: Tool, { skip }: Pick<TestContext, 'skip'>): void {
  skip(!isInstalled(tool), `${tool} is not installed (Debian: apt-get install ${PACKAGES[tool]})`);
}
