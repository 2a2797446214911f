import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What a guide tells to do with a file: to make it, or to change it as a diff says. */
export type Step = { readonly path: string; readonly kind: 'file' | 'diff'; readonly text: string };

const PROJECT_FOLDER = join(import.meta.dirname, '../..');

export const OPERATION_GUIDE = stepsOf('docs/adding-an-operation.md');
export const OTHER_GUIDES = stepsOf('docs/extending.md');

/** The steps of a page: each block belongs to the path that stands, alone and with a colon, above it. */
function stepsOf(pagePath: string): Step[] {
  const page = readFileSync(join(PROJECT_FOLDER, pagePath), 'utf8');
  const steps: Step[] = [];
  let path: string | undefined;
  for (const [, named, heading, language = '', text = ''] of page.matchAll(
    /^`([\w./-]+)`:$|^(#+ .*)$|^```(\w+)\n([\s\S]*?)^```$/gm,
  )) {
    if (named !== undefined || heading !== undefined) path = named;
    else if (path !== undefined) steps.push({ path, kind: language === 'diff' ? 'diff' : 'file', text });
  }
  return steps;
}

/** A copy of the tree as git sees it, with the same dependencies. It is a repository too, since Biome asks git. */
export function copyTree(folder: string): void {
  const git = (cwd: string, ...args: string[]) =>
    execFileSync('git', args, { cwd, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  const paths = git(PROJECT_FOLDER, 'ls-files', '-z', '--cached', '--others', '--exclude-standard').split('\0');
  for (const path of new Set(paths.filter((one) => one !== '' && existsSync(join(PROJECT_FOLDER, one))))) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(PROJECT_FOLDER, path), join(folder, path));
  }
  symlinkSync(join(PROJECT_FOLDER, 'node_modules'), join(folder, 'node_modules'));
  git(folder, 'init', '--quiet');
  git(folder, 'add', '--all');
}

/** Does what the steps say, and answers which files it wrote. Throws where a file is there already, or a change does not fit. */
export function follow(steps: readonly Step[], folder: string): string[] {
  const written = new Set<string>();
  for (const { path: named, kind, text } of steps) {
    const path = named.replace('NNNN', nextMigration(folder));
    const file = join(folder, path);
    written.add(path);
    if (kind === 'diff') writeFileSync(file, patched(readFileSync(file, 'utf8'), text, path));
    else if (existsSync(file)) throw new Error(`${path} is there already`);
    else writeFileSync(file, text);
  }
  return [...written];
}

/** Runs a command in the copy, and answers all that it said; a worker of Vitest must not be blocked meanwhile. */
export function runIn(folder: string, [command, ...args]: readonly [string, ...string[]], env = process.env) {
  return new Promise<{ ok: boolean; output: string }>((resolve) => {
    execFile(command, args, { cwd: folder, env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) =>
      resolve({ ok: error === null, output: stdout + stderr }),
    );
  });
}

/** Applies one hunk: its context must stand in the file once. A line of context that ends with … may go on differently. */
export function patched(file: string, diff: string, path: string): string {
  const hunk = diff.replace(/\n$/, '').split('\n');
  const lines = file.split('\n');
  const before = hunk.filter((line) => !line.startsWith('+')).map((line) => line.slice(1));
  const fits = (line: string | undefined, context: string) =>
    context.endsWith('…') ? line?.startsWith(context.slice(0, -1)) : line === context;
  const places = lines.flatMap((_, at) => (before.every((line, index) => fits(lines[at + index], line)) ? [at] : []));
  const [place] = places;
  if (before.length === 0 || place === undefined || places.length > 1) {
    throw new Error(`In ${path}, this stands ${places.length} times:\n${before.join('\n')}`);
  }
  let at = place;
  const after = hunk.flatMap((line) => {
    if (line.startsWith('+')) return [line.slice(1)];
    at += 1;
    return line.startsWith('-') ? [] : [lines[at - 1] ?? ''];
  });
  return lines.toSpliced(place, before.length, ...after).join('\n');
}

function nextMigration(folder: string): string {
  const numbers = readdirSync(join(folder, 'migrations')).map((name) => Number(/^(\d{4})_/.exec(name)?.[1] ?? 0));
  return String(Math.max(...numbers) + 1).padStart(4, '0');
}
