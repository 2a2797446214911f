import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

type Package = {
  readonly version: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>>;
};

const read = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Package;
const client = read('deploy/client/package.json');
const root = read('package.json');

describe('the client’s package', () => {
  test('has the version and the licence of the service', () => {
    expect([client.version, client.license]).toEqual([root.version, root.license]);
  });

  test('depends on no other package', () => {
    const dependencies = Object.keys(client).filter((name) => /dependencies$/i.test(name));
    expect(dependencies).toEqual([]);
  });

  test('runs nothing when it is installed', () => {
    expect(client).not.toHaveProperty('scripts');
  });

  test('has a source for each file that it exports', () => {
    const files = Object.values(client.exports).flatMap((conditions) => Object.values(conditions));
    expect(files).toContain('./dist/index.d.ts');
    const sources = files.map((file) => file.replace(/^\.\/dist\/(.+?)(\.d\.ts|\.js)$/, 'src/$1.ts'));
    expect(sources.filter((source) => !existsSync(join('deploy/client', source)))).toEqual([]);
  });
});
