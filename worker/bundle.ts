import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type WorkflowBundleWithSourceMap } from '@temporalio/worker';

const WORKFLOWS = fileURLToPath(new URL('../workflows/all.ts', import.meta.url));

/**
 * Bundles the workflows for the sandbox they run in. Takes a second: done ahead for production (`npm run build`).
 *
 * Our modules are loaded once a process, not once a run, which is a fifth of what a run costs there. So all runs share
 * them: nothing in workflows/ may keep anything outside a function (`.biome/no-workflow-state.grit`).
 */
export function buildWorkflowBundle(): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({
    workflowsPath: WORKFLOWS,
    preloadModules: [WORKFLOWS],
    logger: { log: ignore, trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore },
  });
}

function ignore(): void {}
