/**
 * Writes the workflow bundle to the given file for API and worker, which would otherwise each build it at every start. It is
 * a process of its own, so that the bundler's memory is freed.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { buildWorkflowBundle } from '../../worker/bundle.ts';

const [, , file] = process.argv;
if (file === undefined) throw new Error('Bug! No file was given');
const { code } = await buildWorkflowBundle();
writeFileSync(`${file}.new`, code);
renameSync(`${file}.new`, file);
