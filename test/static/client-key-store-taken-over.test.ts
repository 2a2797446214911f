import fs, { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { KeptWrite } from '../../deploy/client/src/keys.ts';
import { type FileKeyStore, fileKeyStore } from '../../deploy/client/src/node.ts';

/** All by which the store asks anything of the operating system, so that it can be stopped before each. */
const CALLS = [
  'closeSync',
  'existsSync',
  'fdatasync',
  'fstatSync',
  'fsyncSync',
  'ftruncateSync',
  'openSync',
  'readdirSync',
  'readFileSync',
  'readlinkSync',
  'renameSync',
  'rmSync',
  'statSync',
  'write',
  'writeFileSync',
] as const;

let folder: string;
let file: string;
const stores: FileKeyStore[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kept-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const store of stores.splice(0)) await store.close();
  rmSync(folder, { recursive: true });
});

function openStore(): FileKeyStore {
  const store = fileKeyStore(file);
  stores.push(store);
  return store;
}

function write(idempotencyKey: string): KeptWrite {
  return { idempotencyKey, operation: 'createPayment', method: 'POST', path: '/api/payments', body: '{}' };
}

/** Lets everybody take the holder of the lock for dead, as if it were on another machine. */
function hideHolder(): void {
  if (!fs.existsSync(`${file}.lock`)) return;
  const text = fs.readFileSync(`${file}.lock`, 'utf8');
  fs.writeFileSync(`${file}.lock`, text === '' ? '' : JSON.stringify({ ...JSON.parse(text), place: 'elsewhere' }));
}

/** The successor of a process that is stopped: it takes the file over, keeps a write, and is killed. */
function succeed(): void {
  hideHolder();
  openStore();
  // All that its `keep` does, in one go.
  fs.appendFileSync(file, `${JSON.stringify({ kept: write('of the successor') })}\n`);
  hideHolder();
}

/** Calls `stopped` before the call of this number; says how many calls there were, and which was that one. */
function stopBefore(number: number, stopped: () => void): { calls: number; name: string } {
  const seen = { calls: 0, name: '' };
  let counts = true;
  for (const name of CALLS) {
    const original = fs[name] as (...parameters: unknown[]) => unknown;
    const spied = (...parameters: unknown[]) => {
      if (counts) seen.calls += 1;
      if (counts && seen.calls === number) {
        seen.name = `${number}: ${name} ${String(parameters[0])}`;
        counts = false;
        stopped();
        counts = true;
      }
      return original(...parameters);
    };
    vi.spyOn(fs, name).mockImplementation(spied as never);
  }
  return seen;
}

/** The first half opens the store; the second one returns the keys of which it was told that they are kept. */
type Story = { prepare(): Promise<FileKeyStore | undefined>; run(store: FileKeyStore | undefined): Promise<string[]> };

async function keptBefore(): Promise<FileKeyStore> {
  const store = openStore();
  for (const key of ['before', 'gone']) await store.keep(write(key));
  await store.settle('gone');
  return store;
}

async function keepAll(store: FileKeyStore, keys: readonly string[]): Promise<string[]> {
  const results = await Promise.allSettled(keys.map((key) => store.keep(write(key))));
  return keys.filter((_, index) => results[index]?.status === 'fulfilled');
}

function opened(): FileKeyStore | undefined {
  try {
    return openStore();
  } catch {
    return undefined;
  }
}

const openAndKeep: Story['run'] = async () => {
  const store = opened();
  return store === undefined ? [] : keepAll(store, ['own']);
};

const STORIES: Record<string, Story> = {
  'while it opens the file': {
    async prepare() {
      const store = await keptBefore();
      await store.close();
      return undefined;
    },
    run: openAndKeep,
  },
  'while it takes the file over itself': {
    async prepare() {
      await keptBefore();
      hideHolder();
      return undefined;
    },
    run: openAndKeep,
  },
  'while it keeps a write, fails, replaces the file and keeps another one': {
    prepare: keptBefore,
    async run(store) {
      const sync = fs.fdatasync;
      vi.spyOn(fs, 'fdatasync').mockImplementationOnce((_, done) => sync(0, () => done(new Error('EIO: i/o error'))));
      const kept = await keepAll(store as FileKeyStore, ['fails']);
      return [...kept, ...(await keepAll(store as FileKeyStore, ['own', 'other']))];
    },
  },
  'while it settles a write and closes the file': {
    prepare: keptBefore,
    async run(store) {
      const kept = await keepAll(store as FileKeyStore, ['own', 'settled']);
      await store?.settle('settled').catch(() => undefined);
      await store?.close();
      return kept.filter((key) => key !== 'settled');
    },
  },
};

describe('a process that is stopped at any moment, taken for dead, and goes on after its successor has died', () => {
  test.each(Object.entries(STORIES))('loses nothing that was kept: %s', async (name, { prepare, run }) => {
    const lost: string[] = [];
    let number = 0;
    for (let ended = false; !ended; ) {
      number += 1;
      file = join(folder, `${name}-${number}.jsonl`);
      const store = await prepare();
      const seen = stopBefore(number, succeed);
      const kept = await run(store);
      vi.restoreAllMocks();
      ended = seen.name === '';
      hideHolder();
      const found = new Set(
        openStore()
          .pending()
          .map((each) => each.idempotencyKey),
      );
      const expected = ['before', ...kept, ...(ended ? [] : ['of the successor'])];
      for (const key of expected) if (!found.has(key)) lost.push(`${key}, stopped before call ${seen.name}`);
    }
    expect(lost).toEqual([]);
    // Otherwise nothing was tried.
    expect(number).toBeGreaterThan(8);
    expect(fs.readdirSync(folder).filter((each) => each.endsWith('.new'))).toEqual([]);
  });
});
