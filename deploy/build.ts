/**
 * `npm run build`: bundles the workflows into dist/workflow-bundle.js, for a release. A process that is given that file
 * as WORKFLOW_BUNDLE needs no bundler at its start, and all processes of a release run the very same workflow code.
 */
import { mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildWorkflowBundle } from '../worker/bundle.ts';

const FILE = 'dist/workflow-bundle.js';

const file = join(import.meta.dirname, '..', FILE);
const { code } = await buildWorkflowBundle();
mkdirSync(join(file, '..'), { recursive: true });
// Whole or not at all: a process may be starting over the file of the build before.
writeFileSync(`${file}.new`, code);
renameSync(`${file}.new`, file);
console.log(`wrote ${FILE} (${Math.round(statSync(file).size / 1024)} KiB)`);
