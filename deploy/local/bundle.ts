/**
 * Writes the workflow bundle to the file named, for API and worker to read: each would else build it for itself at
 * each of its starts. A process of its own, so that the launcher need not keep what the bundler loads.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { buildWorkflowBundle } from '../../worker/bundle.ts';

const [, , file] = process.argv;
if (file === undefined) throw new Error('Bug! No file was named');
const { code } = await buildWorkflowBundle();
writeFileSync(`${file}.new`, code);
renameSync(`${file}.new`, file);
