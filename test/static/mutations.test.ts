import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { projectFolder } from '../../deploy/cli/local-config.ts';
import { readMutations } from '../mutations/patches.ts';

describe('the patches of npm run test:mutations', () => {
  // Throws for a patch that does not say what it breaks, or names a test that is not there.
  const mutations = readMutations();

  test('are as many as the mechanisms that the promises rest on', () => {
    expect(mutations.length).toBeGreaterThanOrEqual(60);
  });

  test('apply to the code as it is', () => {
    const files = mutations.map(({ file }) => file);
    // All in one call, which takes no time; one by one only to tell which it is.
    const outdated = apply(files) ? [] : files.filter((file) => !apply([file]));
    expect(outdated, 'the code that these patches break has changed: make them anew').toEqual([]);
  });

  test('change no function of the database that a later migration replaces', () => {
    const changed = mutations.flatMap(({ name, file }) =>
      hunksOf(readFileSync(file, 'utf8')).map((hunk) => ({ name, migration: hunk.migration, of: functionOf(hunk) })),
    );
    expect(changed.filter(({ of }) => of !== undefined).length).toBeGreaterThan(20);
    const dead = changed.filter(({ migration, of }) => of !== undefined && isReplacedAfter(migration, of));
    expect(dead, 'these patches break nothing: make them anew in the later migration').toEqual([]);
  });
});

const MIGRATIONS = join(projectFolder, 'migrations');
const migrations = readdirSync(MIGRATIONS).filter((file) => /^\d{4}_.*\.sql$/.test(file));

type Hunk = { readonly migration: string; readonly removedAt: number };

/** The hunks of a patch that change migrations, each with the place of its first change in that file. */
function hunksOf(patch: string): Hunk[] {
  return patch.split(/^diff --git /m).flatMap((part) => {
    const migration = /^\+\+\+ b\/migrations\/(\S+\.sql)$/m.exec(part)?.[1];
    if (migration === undefined) return [];
    const text = readFileSync(join(MIGRATIONS, migration), 'utf8');
    const [, ...hunks] = part.split(/^@@ .*\n/m);
    return hunks.map((hunk) => {
      const lines = hunk.split('\n').filter((line) => /^[ +-]/.test(line));
      const unchanged = lines.slice(
        0,
        lines.findIndex((line) => /^[+-]/.test(line)),
      );
      const before = lines.filter((line) => !line.startsWith('+')).map((line) => `${line.slice(1)}\n`);
      const removedAt = text.indexOf(before.join('')) + unchanged.join('\n').length;
      return { migration, removedAt };
    });
  });
}

/** The function whose body is changed, if it is one. */
function functionOf({ migration, removedAt }: Hunk): string | undefined {
  const before = readFileSync(join(MIGRATIONS, migration), 'utf8').slice(0, removedAt);
  const isWithinBody = before.split('$$').length % 2 === 0;
  return isWithinBody ? [...before.matchAll(/^CREATE (?:OR REPLACE )?FUNCTION (\w+)/gm)].at(-1)?.[1] : undefined;
}

function isReplacedAfter(migration: string, name: string): boolean {
  const later = migrations
    .filter((file) => file > migration)
    .map((file) => readFileSync(join(MIGRATIONS, file), 'utf8'));
  const replacing = later.find((text) =>
    new RegExp(`^(CREATE (OR REPLACE )?|DROP )FUNCTION ${name}\\(`, 'm').test(text),
  );
  // Under another name, it is still called.
  return replacing !== undefined && !new RegExp(`^ALTER FUNCTION ${name}\\(.*RENAME TO`, 'm').test(replacing);
}

function apply(files: readonly string[]): boolean {
  return spawnSync('git', ['apply', '--check', ...files], { cwd: projectFolder }).status === 0;
}
