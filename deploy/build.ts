/**
 * `npm run build`: bundles the workflows into dist/workflow-bundle.js for a release. With this file as WORKFLOW_BUNDLE, a
 * process needs no bundler at its start, and all processes of a release run exactly the same workflow code.
 */
import { mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildWorkflowBundle } from '../worker/bundle.ts';

const FILE = 'dist/workflow-bundle.js';

const file = join(import.meta.dirname, '..', FILE);
const { code } = await buildWorkflowBundle();
mkdirSync(join(file, '..'), { recursive: true });
// Atomic, because a process may be reading the file of the previous build.
writeFileSync(`${file}.new`, code);
renameSync(`${file}.new`, file);
console.log(`wrote ${FILE} (${Math.round(statSync(file).size / 1024)} KiB)`);
