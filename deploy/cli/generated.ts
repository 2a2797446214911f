import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes generated files; with `check`, compares them instead and sets exit code 1 if one is out of date. */
export function keepGenerated(
  files: readonly { readonly path: string; readonly text: string }[],
  { command, check }: { readonly command: string; readonly check: boolean },
): void {
  for (const { path, text } of files) {
    const file = join(import.meta.dirname, '../..', path);
    if (!check) {
      writeFileSync(file, text);
      console.log(`wrote ${path}`);
    } else if (existsSync(file) && readFileSync(file, 'utf8') === text) {
      console.log(`${path} is up to date`);
    } else {
      console.error(`${path} is out of date. Run \`${command}\`, review the changes and commit them.`);
      process.exitCode = 1;
    }
  }
}
