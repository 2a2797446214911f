import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from '../../deploy/cli/local-config.ts';

/** A patch that breaks one mechanism. The text above its diff says what breaks, and which test files have to notice. */
export type Mutation = {
  /** The file's name without `.patch`; it begins with the mechanism, such as `commit-…`. */
  readonly name: string;
  readonly file: string;
  readonly breaks: string;
  readonly tests: readonly string[];
};

const FOLDER = join(projectFolder, 'test/mutations');
const TESTS = /^Tests: (.+)$/m;

/** All patches, or those whose names begin with one of `names`. Throws if there is none, or if one lacks its text. */
export function readMutations(names: readonly string[] = []): Mutation[] {
  const all = readdirSync(FOLDER)
    .filter((file) => file.endsWith('.patch'))
    .sort()
    .map((file) => parseMutation(join(FOLDER, file), file.slice(0, -'.patch'.length)));
  const unknown = names.filter((name) => !all.some((mutation) => mutation.name.startsWith(name)));
  if (unknown.length > 0) throw new Error(`There is no mutation ${unknown.join(', ')}. --list prints all.`);
  return names.length === 0 ? all : all.filter((mutation) => names.some((name) => mutation.name.startsWith(name)));
}

function parseMutation(file: string, name: string): Mutation {
  const [text = ''] = readFileSync(file, 'utf8').split(/^(?:diff --git|---) /m);
  const tests =
    TESTS.exec(text)?.[1]
      ?.split(/[\s,]+/)
      .filter(Boolean) ?? [];
  const breaks = text.replace(TESTS, '').trim().replaceAll(/\s+/g, ' ');
  const missing = tests.filter((test) => !existsSync(join(projectFolder, test)));
  if (breaks === '' || tests.length === 0 || missing.length > 0) {
    throw new Error(
      `${file} must say above its diff what breaks, and "Tests: test/…" with files that exist${missing.length > 0 ? `; these do not: ${missing.join(', ')}` : ''}.`,
    );
  }
  return { name, file, breaks, tests };
}
