import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { tokenFile } from '../../deploy/client/src/node.ts';

let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'token-'));
});
beforeEach(() => {
  path = join(folder, 'token');
  rmSync(path, { force: true });
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('a token in a file', () => {
  test('is read each time it is asked for, without the white space around it', async () => {
    writeFileSync(path, 'first\n');
    const source = tokenFile(path);
    expect(await source()).toBe('first');
    writeFileSync(`${path}.new`, ' second \r\n');
    renameSync(`${path}.new`, path);
    expect(await source()).toBe('second');
  });

  test('that is missing, empty, or not one token is an error that names the file and not the token', async () => {
    const source = tokenFile(path);
    await expect(source()).rejects.toThrow(`The token file ${path} cannot be read (ENOENT).`);
    for (const empty of ['', ' \n']) {
      writeFileSync(path, empty);
      await expect(source()).rejects.toThrow(`The token file ${path} is empty.`);
    }
    writeFileSync(path, 'one\ntwo');
    await expect(source()).rejects.toThrow(`The token file ${path} has more in it than one token.`);
    writeFileSync(path, 'found');
    expect(await source()).toBe('found');
    await expect(tokenFile(folder)()).rejects.toThrow('cannot be read (EISDIR)');
  });
});
