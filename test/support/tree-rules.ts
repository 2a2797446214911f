import { dirname, posix } from 'node:path';
import type { SourceFile } from './tidy-rules.ts';

/** Rules that look at several files at once; like those of `tidy-rules.ts`, each complaint names the fix. */

/** A link to a page or file of the repository leads somewhere. */
export function brokenLinks(page: SourceFile, exists: (path: string) => boolean): string[] {
  const targets = [...page.text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? '');
  return targets
    .filter((target) => !/^([a-z]+:|#|\/)/.test(target)) // another site, this page, or a path of the running API
    .map((target) => posix.join(dirname(page.path), decodeURI(target.replace(/#.*$/, ''))))
    .filter((path) => !exists(path))
    .map((path) => `${page.path}: links to ${path}, which is not there: correct the link`);
}

/** What a tool has left beside the files that it has changed. */
export function leftovers(paths: readonly string[]): string[] {
  return paths.filter((path) => /(\.(orig|rej|bak|swp)|~)$/.test(path)).map((path) => `${path}: remove it`);
}

const TOP_LEVEL_FOLDERS = ['workflows', 'activities', 'worker', 'api', 'migrations', 'deploy', 'test', 'docs'];

/** The top level is the map of the system: a newcomer reads it in one look. */
export function unknownFolders(topLevelFolders: readonly string[]): string[] {
  return topLevelFolders
    .filter((folder) => !folder.startsWith('.') && !TOP_LEVEL_FOLDERS.includes(folder))
    .map((folder) => `${folder}/: put it into one of ${TOP_LEVEL_FOLDERS.join(', ')}`);
}
