import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes files that are derived from the code, or compares them and sets exit code 1 where one is not what it should be. */
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
      console.log(`${path} is what the code says`);
    } else {
      console.error(`${path} is not what the code says. Run \`${command}\`, look at what changed, commit it.`);
      process.exitCode = 1;
    }
  }
}
