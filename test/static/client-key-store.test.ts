import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs, { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { KeptWrite } from '../../deploy/client/src/keys.ts';
import { type FileKeyStore, fileKeyStore } from '../../deploy/client/src/node.ts';

/** Of the disk. */
const PATIENCE = { timeout: 60_000 };

let folder: string;
let file: string;
const open: FileKeyStore[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kept-'));
  file = join(folder, 'writes.jsonl');
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const store of open.splice(0)) await store.close();
  rmSync(folder, { recursive: true });
});

function openStore(): FileKeyStore {
  const store = fileKeyStore(file);
  open.push(store);
  return store;
}

/** Closes the store and opens another one, as the next run of the program does. */
async function reopened(store: FileKeyStore): Promise<FileKeyStore> {
  await store.close();
  return openStore();
}

function write(idempotencyKey: string, change: Partial<KeptWrite> = {}): KeptWrite {
  const body = `{"text":"Grüße\\n${idempotencyKey}"}`;
  return { idempotencyKey, operation: 'createPayment', method: 'POST', path: '/api/payments', body, ...change };
}

const keysOf = (store: FileKeyStore) => store.pending().map(({ idempotencyKey }) => idempotencyKey);
const linesOf = (path = file) => readFileSync(path, 'utf8').split('\n').slice(0, -1);

describe('a file of kept writes', () => {
  test('has what was kept and not settled, byte for byte and in order, for the next run', async () => {
    const store = openStore();
    const keys = Array.from({ length: 50 }, (_, index) => `key "${index}" \\`);
    for (const key of keys) await store.keep(write(key));
    for (const key of keys.slice(0, 40)) await store.settle(key);
    expect(store.pending()).toEqual(keys.slice(40).map((key) => write(key)));
    const next = await reopened(store);
    expect(next.pending()).toEqual(keys.slice(40).map((key) => write(key)));
    await next.settle(keys[40] as string);
    expect(keysOf(await reopened(next))).toEqual(keys.slice(41));
  });

  test('is empty at first, and may be settled without having anything', async () => {
    const store = openStore();
    expect(store.pending()).toEqual([]);
    await store.settle('unknown');
    expect(readFileSync(file, 'utf8')).toBe('');
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('keeps a write once, however often it is sent again, and no other request under its key', async () => {
    const store = openStore();
    await Promise.all([store.keep(write('a')), store.keep(write('a'))]);
    await store.keep(write('a'));
    expect(linesOf()).toHaveLength(1);
    await expect(store.keep(write('a', { body: '{}' }))).rejects.toThrow(
      'The key a is kept for another request, whose outcome is not known. Use another key, or learn the outcome of the kept request first: submit what pending() has for this key.',
    );
    const both = [store.keep(write('b')), store.keep(write('b', { path: '/api/refunds' }))];
    expect((await Promise.allSettled(both)).map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    await store.settle('a');
    await store.keep(write('a', { body: '{}' }));
    expect((await reopened(store)).pending()).toEqual([write('b'), write('a', { body: '{}' })]);
  });

  test('has the service and the company of a write, and takes another one’s for another request', async () => {
    const store = openStore();
    const [baseUrl, companyId] = ['https://books.example.com', 'company'];
    const kept = write('a', { baseUrl, companyId });
    await store.keep(kept);
    const next = await reopened(store);
    expect(next.pending()).toEqual([kept]);
    await next.keep({ ...kept });
    await next.keep({ ...kept, companyId: undefined });
    for (const change of [{ baseUrl: 'https://other.example.com' }, { companyId: 'other' }]) {
      await expect(next.keep({ ...kept, ...change })).rejects.toThrow('kept for another request');
    }
    expect((await reopened(next)).pending()).toEqual([kept]);
  });

  test('says that it has a write only after the disk has it, and one fsync is for all that wait', async () => {
    const store = openStore();
    const waiting: (() => void)[] = [];
    let atFsync = '';
    const fsync = vi.spyOn(fs, 'fdatasync').mockImplementation((_, done) => {
      atFsync = readFileSync(file, 'utf8');
      waiting.push(() => done(null));
    });
    let kept = 0;
    const keep = (key: string) => store.keep(write(key)).then(() => (kept += 1));
    const first = keep('first');
    await vi.waitFor(() => expect(waiting).toHaveLength(1), PATIENCE);
    expect([kept, atFsync]).toEqual([0, `${JSON.stringify({ kept: write('first') })}\n`]);
    const others = Array.from({ length: 100 }, (_, index) => keep(`other ${index}`));
    waiting.shift()?.();
    await first;
    await vi.waitFor(() => expect(waiting).toHaveLength(1), PATIENCE);
    expect(kept).toBe(1);
    waiting.shift()?.();
    await Promise.all(others);
    expect([kept, fsync.mock.calls.length]).toEqual([101, 2]);
  });

  test('waits for no fsync to settle, and for that of a new file and of its folder when it is opened', async () => {
    const store = openStore();
    await store.keep(write('a'));
    const fdatasync = vi.spyOn(fs, 'fdatasync');
    await store.settle('a');
    expect(fdatasync).not.toHaveBeenCalled();
    expect(linesOf().at(-1)).toBe('{"settled":"a"}');
    // As it is after a run that was killed before its fsync: what is found has to be on the disk, too.
    await store.keep(write('b'));
    await store.close();
    const synced = vi.spyOn(fs, 'fsyncSync');
    expect(keysOf(openStore())).toEqual(['b']);
    expect(synced).toHaveBeenCalledTimes(2);
  });

  test('does not grow with what is settled, neither during a run nor from run to run', async () => {
    const store = openStore();
    await store.keep(write('stays'));
    for (let round = 0; round < 40; round += 1) {
      const keys = Array.from({ length: 100 }, (_, index) => `${round}-${index}`);
      await Promise.all(keys.map((key) => store.keep(write(key))));
      await Promise.all(keys.map((key) => store.settle(key)));
    }
    expect(linesOf().length).toBeLessThan(1_500);
    expect(keysOf(await reopened(store))).toEqual(['stays']);
    expect(linesOf()).toHaveLength(1);
    expect(readdirSync(folder).toSorted()).toEqual(['writes.jsonl', 'writes.jsonl.lock']);
  });

  test.each([
    ['half a line', '{"kept":{"idempotencyKey":"cut","oper'],
    ['half a character', Buffer.from('{"kept":{"idempotencyKey":"ü').subarray(0, -1)],
    ['zeros', '\0'.repeat(100)],
  ])('does without what a kill has left of the last append: %s', async (_, left) => {
    const store = openStore();
    await store.keep(write('whole'));
    await store.close();
    appendFileSync(file, left);
    const next = openStore();
    expect(keysOf(next)).toEqual(['whole']);
    await next.keep(write('next'));
    expect(keysOf(await reopened(next))).toEqual(['whole', 'next']);
  });

  const line = (key: string) => JSON.stringify({ kept: write(key) });
  test.each([
    ['a byte order mark, and other ends of lines', `\uFEFF${line('a')}\r\n${line('b')}\r\n`],
    ['no newline at its end', `${line('a')}\n${line('b')}`],
  ])('may have what an editor leaves: %s', async (_, text) => {
    writeFileSync(file, text);
    const store = openStore();
    expect(store.pending()).toEqual([write('a'), write('b')]);
    await store.keep(write('c'));
    expect(keysOf(await reopened(store))).toEqual(['a', 'b', 'c']);
  });

  test.each([
    ['something else', 'nonsense'],
    ['another kind of entry', '{"forgotten":"a"}'],
    ['half a write', '{"kept":{"idempotencyKey":"cut"}}'],
    ['a company that is not a text', JSON.stringify({ kept: { ...write('cut'), companyId: 1 } })],
    ['zeros that end in a line', `${'\0'.repeat(100)}"}}`],
    ['another encoding', Buffer.from(line('cut'), 'latin1')],
    ['nothing', ''],
  ])('is not used if a whole line has %s, be it the last one: a write may be missing', (_, bad) => {
    for (const after of ['', `${line('b')}\n`]) {
      const before = Buffer.concat([Buffer.from(`${line('a')}\n`), Buffer.from(bad), Buffer.from(`\n${after}`)]);
      writeFileSync(file, before);
      expect(openStore).toThrow(/writes\.jsonl cannot be used: line 2 cannot be read/);
      expect(readFileSync(file)).toEqual(before);
      expect(readdirSync(folder)).toEqual(['writes.jsonl']);
    }
  });

  test('says that it cannot be made, or is closed', async () => {
    file = join(folder, 'missing', 'writes.jsonl');
    expect(openStore).toThrow(/writes\.jsonl\.lock cannot be made \(ENOENT\)/);
    file = join(folder, 'writes.jsonl');
    const store = openStore();
    await store.close();
    await store.close();
    await expect(store.keep(write('a'))).rejects.toThrow('has been closed');
  });
});

describe('a disk that fails', () => {
  test.each(['fdatasync', 'write'] as const)('in %s: nothing is kept of that, and the next write is', async (name) => {
    const store = openStore();
    await store.keep(write('before'));
    const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    const spy = vi.spyOn(fs, name).mockImplementationOnce((...parameters: unknown[]) => {
      // A part of it has come to the file.
      if (name === 'write') appendFileSync(file, '{"kept":{"idempot');
      (parameters.at(-1) as (error: Error) => void)(full);
    });
    const failed = await Promise.allSettled([store.keep(write('a')), store.keep(write('b'))]);
    expect(failed.map((each) => each.status)).toEqual(['rejected', 'rejected']);
    expect(failed[0]).toMatchObject({ reason: { message: expect.stringContaining('cannot be written: ENOSPC') } });
    spy.mockRestore();
    expect(linesOf()).toEqual([JSON.stringify({ kept: write('before') })]);
    await store.keep(write('after'));
    expect(keysOf(store)).toEqual(['before', 'after']);
    expect(keysOf(await reopened(store))).toEqual(['before', 'after']);
  });

  test('and cannot replace the file either: nothing of it stays, and it is replaced when it can be', async () => {
    const store = openStore();
    await store.keep(write('before'));
    const away = () => {
      throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
    };
    const fsync = vi.spyOn(fs, 'fdatasync').mockImplementation((_, done) => done(new Error('EIO: i/o error')));
    const rename = vi.spyOn(fs, 'renameSync').mockImplementation(away);
    for (const key of ['a', 'b']) await expect(store.keep(write(key))).rejects.toThrow('EIO');
    expect(linesOf()).toEqual([JSON.stringify({ kept: write('before') })]);
    fsync.mockRestore();
    rename.mockRestore();
    await store.keep(write('after'));
    expect(keysOf(await reopened(store))).toEqual(['before', 'after']);
  });
});

describe('a file of kept writes belongs to one process', () => {
  const lock = (change: object) =>
    writeFileSync(`${file}.lock`, JSON.stringify({ ...JSON.parse(readFileSync(`${file}.lock`, 'utf8')), ...change }));

  test('at a time: another one is told who has it, and the file is untouched', async () => {
    const store = openStore();
    await store.keep(write('a'));
    expect(openStore).toThrow(`is used by process ${process.pid}`);
    await store.keep(write('b'));
    expect(keysOf(await reopened(store))).toEqual(['a', 'b']);
  });

  test.each([
    ['its process ID means another process now', { began: '1' }],
    ['nobody has its process ID', { pid: 2 ** 22 + 1 }],
    ['it is in a place that cannot be seen', { place: 'another machine' }],
  ])('is taken over when %s, and whoever had it keeps nothing more', async (_, holder) => {
    const store = openStore();
    await store.keep(write('a'));
    lock(holder);
    const next = openStore();
    expect(keysOf(next)).toEqual(['a']);
    await expect(store.keep(write('b'))).rejects.toThrow('another process has taken it over');
    await next.keep(write('c'));
    await store.close();
    expect(openStore).toThrow('is used by process');
    expect(keysOf(await reopened(next))).toEqual(['a', 'c']);
  });

  test('under whatever name: a symbolic link, to a file or to what is to be one, is the file that it names', async () => {
    const named = file;
    fs.symlinkSync(folder, join(folder, 'folder'));
    fs.symlinkSync('folder/writes.jsonl', join(folder, 'link'));
    for (const present of [false, true]) {
      file = join(folder, 'link');
      const store = openStore();
      if (!present) await store.keep(write('a'));
      for (file of [named, join(folder, 'folder', 'writes.jsonl'), join(folder, 'folder', 'link')]) {
        expect(openStore).toThrow('is used by process');
      }
      file = named;
      expect(keysOf(await reopened(store))).toEqual(['a']);
      await open.at(-1)?.close();
    }
    expect(readdirSync(folder).toSorted()).toEqual(['folder', 'link', 'writes.jsonl']);
  });

  test('is taken over when nothing is in its lock', async () => {
    writeFileSync(`${file}.lock`, '');
    const store = openStore();
    await store.keep(write('a'));
    expect(keysOf(store)).toEqual(['a']);
  });

  test('is not kept in when another file has its name', async () => {
    const store = openStore();
    fs.renameSync(file, `${file}.old`);
    writeFileSync(file, '');
    await expect(store.keep(write('a'))).rejects.toThrow('has been replaced by another one');
  });
});

describe('a program that is killed at any moment', () => {
  const script = fileURLToPath(new URL('../support/keep-writes.ts', import.meta.url));
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  test('finds again what it was told is kept, and the file is free', { timeout: 120_000 }, async () => {
    const [kept, settled] = [new Set<string>(), new Set<string>()];
    for (const round of [1, 2, 3]) {
      const child = spawn(process.execPath, ['--import', 'tsx', script, file, `round${round}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.push(child);
      const ended = once(child, 'exit');
      let lines = 0;
      for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
        const [what, key = ''] = line.split(' ');
        (what === 'kept' ? kept : settled).add(key);
        lines += 1;
        if (lines === 700 * round) child.kill('SIGKILL');
      }
      await ended;
      const pending = new Set(keysOf(await reopenedAfterKill()));
      const missing = [...kept].filter((key) => !settled.has(key) && !pending.has(key));
      // Those that it was about to settle, sixteen at a time: each is either still pending, or was settled.
      expect(missing.filter((key) => Number(key.split('-')[1]) % 4 === 0)).toEqual([]);
      expect(missing.length).toBeLessThanOrEqual(16 * round);
      expect([...settled].filter((key) => pending.has(key))).toEqual([]);
      expect(kept.size).toBeGreaterThan(300 * round);
    }
  });

  async function reopenedAfterKill(): Promise<FileKeyStore> {
    const store = openStore();
    const found = store.pending();
    await store.close();
    return { ...store, pending: () => found };
  }
});
