import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type WorkflowBundle, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import type { ProcessConfig } from './config.ts';
import { FAILURE_CONVERTER } from './payloads/data-converter.ts';

const WORKFLOWS = fileURLToPath(new URL('../workflows/all.ts', import.meta.url));
const INTERCEPTORS = fileURLToPath(new URL('../workflows/interceptors.ts', import.meta.url));

/** The workflows for all workers of a process: from the file that was made ahead, else bundled now. */
export async function loadWorkflowBundle({ WORKFLOW_BUNDLE: file }: ProcessConfig): Promise<WorkflowBundle> {
  return file === undefined ? buildWorkflowBundle() : { code: await readFile(file, 'utf8') };
}

/**
 * Bundles the workflows for Temporal's sandbox. Takes about a second; production bundles at build time (`npm run build`).
 *
 * `preloadModules` loads our modules once per process instead of once per run, which saves a fifth of a run's cost. All
 * runs therefore share them: nothing in workflows/ may hold state outside a function (`.biome/no-workflow-state.grit`).
 */
export function buildWorkflowBundle(): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({
    workflowsPath: WORKFLOWS,
    preloadModules: [WORKFLOWS],
    workflowInterceptorModules: [INTERCEPTORS],
    failureConverterPath: FAILURE_CONVERTER,
    logger: { log: ignore, trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore },
  });
}

function ignore(): void {}
