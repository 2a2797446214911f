/**
 * `npm run build` writes what a release has besides its code into dist/:
 *
 * - `workflow-bundle.js`, the workflows. With it as WORKFLOW_BUNDLE, a process needs no bundler at its start, and all
 *   processes of a release run exactly the same workflow code.
 * - `console/`, the console for browsers, which the API serves.
 * - `sbom.cdx.json`, the packages that it consists of, in the CycloneDX format, and `licences.md`, their licences. A licence
 *   that nobody has allowed ends the build.
 */
import { mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildWorkflowBundle } from '../worker/bundle.ts';
import { buildConsole } from './console/build-console.ts';
import { licenceList, makeSbom } from './supply-chain/sbom.ts';

const projectFolder = join(import.meta.dirname, '..');
const sbom = await makeSbom(projectFolder);
const licences = licenceList(sbom);
const { code } = await buildWorkflowBundle();
const built = await buildConsole(join(projectFolder, 'dist/console'));
mkdirSync(join(projectFolder, 'dist'), { recursive: true });
write('dist/sbom.cdx.json', `${JSON.stringify(sbom, null, 2)}\n`);
write('dist/licences.md', licences);
write('dist/workflow-bundle.js', code);
console.log(
  `wrote dist/console (${kibibytes(built.reduce((sum, { compressedBytes }) => sum + compressedBytes, 0))} for a browser)`,
);

function write(name: string, text: string): void {
  const file = join(projectFolder, name);
  // Atomic, because a process may be reading the file of the previous build.
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
  console.log(`wrote ${name} (${kibibytes(statSync(file).size)})`);
}

function kibibytes(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`;
}
