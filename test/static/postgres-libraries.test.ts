import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { linkLibraries } from '../../deploy/local/postgres-libraries.ts';

const LINK = { source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' };

/** As npm installs it, without its script. */
function installedPackage(): string {
  const folder = mkdtempSync(join(tmpdir(), 'accubooks-libraries-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'native/lib'), { recursive: true });
  writeFileSync(join(folder, LINK.source), 'the library');
  writeFileSync(join(folder, 'native/pg-symlinks.json'), JSON.stringify([LINK]));
  return folder;
}

test('the embedded PostgreSQL finds its libraries, although no installation script runs', () => {
  const folder = installedPackage();
  linkLibraries(folder);
  linkLibraries(folder);
  expect(readFileSync(join(folder, LINK.target), 'utf8')).toBe('the library');
  // Relative, so that the project can be moved.
  expect(readlinkSync(join(folder, LINK.target))).toBe('libpq.so.5.18');
});

test('a link that cannot be made is named, with what to do', () => {
  const folder = installedPackage();
  const links = [{ source: LINK.source, target: 'native/gone/libpq.so.5' }];
  writeFileSync(join(folder, 'native/pg-symlinks.json'), JSON.stringify(links));
  expect(() => linkLibraries(folder)).toThrow(/libpq\.so\.5, which cannot be made .*npm ci/);
});

test('a package without links needs none', () => {
  const folder = installedPackage();
  rmSync(join(folder, 'native/pg-symlinks.json'));
  expect(() => linkLibraries(folder)).not.toThrow();
});
