import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { errorText } from './error-text.ts';
import { isSameWrite, keptLine, readKeyLog, settledLine } from './key-log.ts';
import type { KeptWrite } from './keys.ts';

/**
 * A token that something else keeps current in a file, such as a mounted secret. The file is read each time the client needs a
 * token: at the start, before the last one ends, and when the service has refused it. The source fails if the file cannot be
 * read, is empty, or has anything but one token; the client then asks again until the deadline of the call.
 */
export function tokenFile(path: string): () => Promise<string> {
  return async () => {
    const text = await fs.promises.readFile(path, 'utf8').catch((error: unknown) => {
      throw new Error(`The token file ${path} cannot be read (${codeOf(error)}).`, { cause: error });
    });
    const token = text.trim();
    if (token === '') throw new Error(`The token file ${path} is empty.`);
    if (/\s/.test(token)) throw new Error(`The token file ${path} has more in it than one token.`);
    return token;
  };
}

/** A {@link KeyStore}. */
export type FileKeyStore = {
  /**
   * Rejects if the write is not on the disk: nothing is sent then. If that is because another process has taken the file over,
   * that process may have found the write in it, and send it. Rejects also if the key is kept for another request: use another
   * key, or learn the outcome of the kept request first (submit what `pending` has for this key).
   */
  keep(write: KeptWrite): Promise<void>;
  settle(idempotencyKey: string): Promise<void>;
  /** The writes that were kept and not settled, in the order in which they were kept. At the start: those of the last run. */
  pending(): readonly KeptWrite[];
  /** Writes what is still to be written, and lets another process use the file. */
  close(): Promise<void>;
};

/**
 * Keeps the writes of one process in a file, which its folder must allow to be replaced. `keep` resolves once the write is on
 * the disk (fsync, one for all that wait); so nothing is sent that a kill, or a loss of power, could make the program forget.
 *
 * Throws if the file cannot be read, has a line that cannot be read (other than one without its newline at the end, which a kill
 * has cut), or is used by another process: one file belongs to one process at a time, and `{path}.lock` names it. A process that
 * has died is recognized, and its file is taken over. Where a process cannot be seen, in another container or on another machine,
 * it is taken for dead. Should it be alive, its `keep` fails from then on, so that it sends nothing more, and it cannot change the
 * file of its successor. That needs a file system that shows a new name to every process at once: a local one does, one on the
 * network (NFS) may not. A symbolic link stands for the file that it names.
 *
 * A loss of power during an append of many lines may leave zeros in the middle of it, where the file system writes its pages in
 * any order. Such a line throws, too: it cannot be told from one that was damaged after it was kept. Whoever knows that the power
 * was lost may remove it, since nobody was told that it is kept.
 *
 * A write is settled as soon as the client has its outcome. A program that has to do something with the outcome, and may be killed
 * before it has, gives its writes keys of its own (`invoice-4711`), with which it gets the outcome again.
 *
 * @example
 * const keyStore = fileKeyStore('/var/lib/nightly-run/writes.jsonl');
 * const books = createClient({ baseUrl, token, keyStore });
 * for (const write of keyStore.pending()) await books.writes.submit(write).catch(console.error); // Begun by the last run.
 */
export function fileKeyStore(path: string): FileKeyStore {
  const file = realPath(resolve(path));
  const lock = takeLock(file);
  let log: OpenLog | undefined;
  let pending: Map<string, KeptWrite>;
  try {
    removeUnfinished(file);
    pending = readKeyLog(fs.existsSync(file) ? fs.readFileSync(file) : new Uint8Array());
    // Always a new file: a process that has lost this one, and is alive, may have it open, to append to it or to shorten it.
    log = replaceLog(file, pending, lock);
  } catch (error) {
    lock.release();
    throw new Error(`The file of kept writes ${file} cannot be used: ${errorText(error)}.`, { cause: error });
  }
  const keeping = new Map<string, { readonly write: KeptWrite; readonly done: Promise<void> }>();
  let queue: Append[] = [];
  let flushing: Promise<void> | undefined;
  let closed = false;

  return {
    async keep(write) {
      const { idempotencyKey } = write;
      const known = pending.get(idempotencyKey) ?? keeping.get(idempotencyKey)?.write;
      if (known !== undefined && !isSameWrite(known, write)) {
        throw new Error(
          `The key ${idempotencyKey} is kept for another request, whose outcome is not known. Use another key, or learn the outcome of the kept request first: submit what pending() has for this key.`,
        );
      }
      if (pending.has(idempotencyKey)) return;
      const done =
        keeping.get(idempotencyKey)?.done ??
        append({ line: keptLine(write), kept: write }).finally(() => keeping.delete(idempotencyKey));
      keeping.set(idempotencyKey, { write, done });
      return done;
    },
    async settle(idempotencyKey) {
      if (pending.delete(idempotencyKey)) await append({ line: settledLine(idempotencyKey) });
    },
    pending: () => [...pending.values()],
    async close() {
      if (closed) return;
      closed = true;
      await flushing;
      if (log !== undefined) fs.closeSync(log.descriptor);
      lock.release();
    },
  };

  function append(entry: Pick<Append, 'line' | 'kept'>): Promise<void> {
    if (closed) return Promise.reject(new Error(`The file of kept writes ${file} has been closed.`));
    return new Promise((done, failed) => {
      queue.push({ ...entry, done, failed });
      flushing ??= flush();
    });
  }

  /** One batch after the other: whatever comes at once, or during a write and its fsync, shares the next one. */
  async function flush(): Promise<void> {
    await Promise.resolve();
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      try {
        await write(batch);
      } catch (error) {
        // What the file has of this batch is not known. Its callers are told that nothing is kept, so nothing of it may stay.
        undo();
        const message = `The file of kept writes ${file} cannot be written: ${errorText(error)}.`;
        for (const { failed } of batch) failed(new Error(message, { cause: error }));
      }
    }
    // In the same turn as the last look at the queue: who comes after it begins anew.
    flushing = undefined;
  }

  async function write(batch: readonly Append[]): Promise<void> {
    lock.check();
    if (log === undefined || (log.lines > COMPACT_FROM_LINES && log.lines > COMPACT_AT_TIMES * pending.size)) replace();
    const { descriptor, lines, bytes: size } = log as OpenLog;
    const bytes = Buffer.from(batch.map(({ line }) => line).join(''));
    await writeAll(descriptor, bytes);
    for (const { kept, done } of batch) if (kept === undefined) done();
    if (batch.some(({ kept }) => kept !== undefined)) {
      await fdatasync(descriptor);
      // Afterwards: whoever has taken the file over since then has read these lines.
      lock.check();
      checkInPlace(file, descriptor);
    }
    log = { descriptor, lines: lines + batch.length, bytes: size + bytes.length };
    for (const { kept, done } of batch) {
      if (kept === undefined) continue;
      pending.set(kept.idempotencyKey, kept);
      done();
    }
  }

  /** Puts a file with the pending writes alone in the place of this one. */
  function replace(): void {
    const old = log;
    log = undefined;
    if (old !== undefined) fs.closeSync(old.descriptor);
    log = replaceLog(file, pending, lock);
  }

  /** Shortens the file, for which even a full disk has room, and replaces it: now, or before the next batch. */
  function undo(): void {
    try {
      lock.check();
      if (log !== undefined) fs.ftruncateSync(log.descriptor, log.bytes);
      replace();
    } catch {
      // The batch has failed with the error that matters.
    }
  }
}

type OpenLog = {
  readonly descriptor: number;
  readonly lines: number;
  /** Its length, without what an append that has failed may have left. */
  readonly bytes: number;
};

type Append = {
  readonly line: string;
  /** The write that the line keeps; undefined if it settles one. */
  readonly kept?: KeptWrite;
  done(): void;
  failed(error: Error): void;
};

/** The file is replaced when it has so many lines, and so many times as many as there are pending writes. */
const COMPACT_FROM_LINES = 1_000;
const COMPACT_AT_TIMES = 4;
/** The bodies of writes are nobody else's business. */
const OWNER_ONLY = 0o600;
const { O_APPEND, O_CREAT, O_TRUNC, O_WRONLY } = fs.constants;

const fdatasync = (descriptor: number) => promisify(fs.fdatasync)(descriptor);

/**
 * Puts a file with these writes alone in the place of the old one, which stays as it is until the new one is on the disk.
 *
 * A process that is stopped in here may be taken over and go on afterwards. Even so it cannot replace the file of its successor:
 * if it was taken over before it checks the lock, it fails there; if after that, its successor has removed the file that is to
 * be renamed ({@link removeUnfinished}), or has not read anything yet.
 */
function replaceLog(file: string, pending: ReadonlyMap<string, KeptWrite>, lock: Lock): OpenLog {
  const unfinished = `${file}.${lock.id}.new`;
  const descriptor = fs.openSync(unfinished, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC, OWNER_ONLY);
  const bytes = Buffer.from([...pending.values()].map(keptLine).join(''));
  try {
    fs.writeFileSync(descriptor, bytes);
    fs.fsyncSync(descriptor);
    lock.check();
    fs.renameSync(unfinished, file);
    syncFolder(file);
  } catch (error) {
    fs.closeSync(descriptor);
    fs.rmSync(unfinished, { force: true });
    // If it has been taken over, that is the reason why there is nothing to rename.
    lock.check();
    throw error;
  }
  return { descriptor, lines: pending.size, bytes: bytes.length };
}

/**
 * Removes what other processes were about to rename to the file or to its lock. To be called by who has the lock, before it reads
 * the file: from then on no other process can put anything in the place of the file.
 */
function removeUnfinished(file: string): void {
  const [folder, name] = [dirname(file), basename(file)];
  for (const each of fs.readdirSync(folder)) {
    const isUnfinished = each.startsWith(name) && UNFINISHED.test(each.slice(name.length));
    if (isUnfinished) fs.rmSync(join(folder, each), { force: true });
  }
}

const UNFINISHED = /^(\.lock)?\.[\da-f-]{36}\.new$/;

/** A new name in a folder is on the disk once the folder is. Windows has no such thing. */
function syncFolder(file: string): void {
  if (process.platform === 'win32') return;
  const folder = fs.openSync(dirname(file), 'r');
  try {
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
}

async function writeAll(descriptor: number, bytes: Buffer): Promise<void> {
  const write = promisify(fs.write);
  for (let from = 0; from < bytes.length; ) {
    const { bytesWritten } = await write(descriptor, bytes, from, bytes.length - from, null);
    from += bytesWritten;
  }
}

/** Throws unless the name is still that of the open file. */
function checkInPlace(file: string, descriptor: number): void {
  const [open, named] = [fs.fstatSync(descriptor, { bigint: true }), fs.statSync(file, { bigint: true })];
  if (open.ino !== named.ino || open.dev !== named.dev) throw new Error('it has been replaced by another one');
}

type Lock = {
  /** Of this holder alone. */
  readonly id: string;
  /** Throws if another process has taken the file over. */
  check(): void;
  release(): void;
};

/** Who uses the file, as its lock says it. */
type Holder = {
  readonly id: string;
  readonly pid: number;
  /** When the process began, as the kernel says it: a process ID is given again. Null where that cannot be learnt. */
  readonly began: string | null;
  /** The machine since its start, and the container: where the process ID means something. */
  readonly place: string;
};

function takeLock(file: string): Lock {
  const path = `${file}.lock`;
  const id = randomUUID();
  const text = JSON.stringify({ id, pid: process.pid, began: beginOf(process.pid) ?? null, place: place() });
  try {
    fs.writeFileSync(path, text, { flag: 'wx', mode: OWNER_ONLY });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw new Error(`${path} cannot be made (${codeOf(error)}).`, { cause: error });
    const holder = holderOf(path);
    if (holder !== undefined && isAlive(holder)) {
      throw new Error(`The file of kept writes ${file} is used by process ${holder.pid}. Give each process its own.`);
    }
    fs.writeFileSync(`${path}.${id}.new`, text, { flag: 'wx', mode: OWNER_ONLY });
    fs.renameSync(`${path}.${id}.new`, path);
  }
  return {
    id,
    check() {
      if (holderOf(path)?.id !== id) throw new Error(`another process has taken it over: see ${path}`);
    },
    release() {
      // If it is taken over between these two, the successor is without a lock, and its `keep` fails: nothing is lost.
      if (holderOf(path)?.id === id) fs.rmSync(path, { force: true });
    },
  };
}

/** Undefined where there is none, or none that can be read: its process has died while it wrote it. */
function holderOf(path: string): Holder | undefined {
  try {
    return JSON.parse(fs.readFileSync(path, 'utf8')) as Holder;
  } catch {
    return undefined;
  }
}

function isAlive({ pid, began, place: where }: Holder): boolean {
  if (where !== place()) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // The process of another user may not be signalled, but exists.
    if (codeOf(error) !== 'EPERM') return false;
  }
  return process.platform !== 'linux' || beginOf(pid) === (began ?? undefined);
}

/** Undefined for a process that has ended, also where its parent has not asked for its end yet, and on other systems. */
function beginOf(pid: number): string | undefined {
  // proc(5): the name, in parentheses, may have anything in it; the state is the 3rd field and the begin the 22nd.
  const fields = textIn(`/proc/${pid}/stat`)
    .replace(/^.*\)\s/s, '')
    .split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

/** The path without symbolic links, also where nothing is at the end of them yet. */
function realPath(path: string): string {
  try {
    return fs.realpathSync.native(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  const folder = dirname(path);
  // Without a folder there is no file either: whoever makes the lock is told so.
  if (!fs.existsSync(folder)) return path;
  const target = linkOf(path);
  const real = fs.realpathSync.native(folder);
  return target === '' ? join(real, basename(path)) : realPath(resolve(real, target));
}

function place(): string {
  return [hostname(), textIn('/proc/sys/kernel/random/boot_id').trim(), linkOf('/proc/self/ns/pid')].join(' ');
}

function textIn(path: string): string {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function linkOf(path: string): string {
  try {
    return fs.readlinkSync(path);
  } catch {
    return '';
  }
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code ?? error);
}
