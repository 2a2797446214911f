/**
 * `npm run build:client`: compiles src/ into dist/, and puts the licence beside it. `npm publish ./deploy/client` then
 * publishes the package.
 *
 *   --out FOLDER   makes the whole package in another folder, which must be new or empty
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const packageFolder = import.meta.dirname;
const projectFolder = join(packageFolder, '../..');
/** What is in the repository and published as it is. */
const WRITTEN_BY_HAND = ['package.json', 'README.md'];
/** In this order: a file that both compile is that of the second, which knows nothing of Node. */
const PROJECTS = ['tsconfig.node.json', 'tsconfig.json'];

const { out } = parseArgs({ options: { out: { type: 'string' } } }).values;
const folder = out === undefined ? packageFolder : resolve(out);
if (folder !== packageFolder) {
  mkdirSync(folder, { recursive: true });
  if (readdirSync(folder).length > 0) throw new Error(`${folder} is not empty`);
  for (const name of WRITTEN_BY_HAND) cpSync(join(packageFolder, name), join(folder, name));
}
const dist = join(folder, 'dist');
rmSync(dist, { recursive: true, force: true });
for (const project of PROJECTS) {
  execFileSync(
    join(projectFolder, 'node_modules/.bin/tsc'),
    ['--project', join(packageFolder, project), '--outDir', dist],
    { stdio: 'inherit' },
  );
}
for (const name of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
  if (name.endsWith('.d.ts')) nameJavaScript(join(dist, name));
}
cpSync(join(projectFolder, 'LICENSE'), join(folder, 'LICENSE'));
console.log(`built ${folder === packageFolder ? 'deploy/client' : folder}`);

/** The compiler leaves `./calls.ts` in declarations as it is, which not every tool takes for calls.d.ts. */
function nameJavaScript(file: string): void {
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace(/(?<=(?:from |import\()(['"])\.{1,2}\/[^'"]+)\.ts(?=\1)/g, '.js'));
}
