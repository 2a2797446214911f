import { createHash } from 'node:crypto';
import {
  appendFileSync,
  createReadStream,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Explained } from '../../../activities/auditor/check.ts';
import type { Finding } from '../../../activities/auditor/finding.ts';
import { createTally, type Tally } from '../../../activities/auditor/journal.ts';
import type { Entry, Journal } from '../../../activities/auditor/run-audit.ts';

/** A run's notes in a file, one entry a line: an interrupted run goes on from it, and its findings need no memory. */
export type FileJournal = Journal & {
  readonly tally: Tally;
  /** Whether it goes on from the notes of an earlier run. */
  readonly resumed: boolean;
  findings(): AsyncIterable<Finding>;
  explained(): AsyncIterable<Explained>;
  remove(): void;
};

/** Only for who runs the command: it names keys and rows. */
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

type Opening = {
  readonly resume: boolean;
  /** Of the run. */
  readonly pid?: number;
};

/**
 * `of`: what makes two runs the same, such as the database and the days. Each process has notes of its own, so that two such runs at
 * a time do not read each other's; one goes on from those of a process that is gone.
 */
export async function openFileJournal(of: unknown, { resume, pid = process.pid }: Opening): Promise<FileJournal> {
  const name = createHash('sha256').update(JSON.stringify(of)).digest('hex').slice(0, 32);
  const path = join(folder(), `${name}.${pid}.ndjson`);
  const left = leftBehind(name, pid);
  const newest = left.at(-1);
  const resumed = resume && newest !== undefined;
  if (resumed) renameSync(newest, path);
  for (const other of left) if (other !== path) rmSync(other, { force: true });
  if (resumed) await keepFinished(path);
  else writeFileSync(path, '', { mode: FILE_MODE });

  const states = new Map<string, { readonly done: boolean; readonly cursor: unknown }>();
  const sum = createTally();
  const take = (entry: Entry) => {
    sum.note(entry);
    if ('step' in entry) states.set(entry.task, { done: false, cursor: entry.step.cursor });
    else if ('done' in entry) states.set(entry.task, { done: true, cursor: undefined });
  };
  for await (const entry of entriesOf(path)) take(entry);
  return {
    resumed,
    note(entry) {
      appendFileSync(path, `${JSON.stringify(entry)}\n`);
      take(entry);
    },
    stateOf: (task) => states.get(task) ?? { done: false, cursor: undefined },
    get tally() {
      return sum.tally;
    },
    async *findings() {
      for await (const entry of entriesOf(path)) {
        if ('step' in entry) yield* entry.step.findings ?? [];
      }
    },
    async *explained() {
      for await (const entry of entriesOf(path)) {
        if ('step' in entry) yield* entry.step.explained ?? [];
      }
    },
    remove: () => rmSync(path, { force: true }),
  };
}

/** The notes of such runs that have ended, the oldest first. */
function leftBehind(name: string, pid: number): readonly string[] {
  return readdirSync(folder())
    .filter((file) => file.startsWith(`${name}.`) && hasEnded(Number(file.split('.')[1]), pid))
    .map((file) => join(folder(), file))
    .map((path) => ({ path, at: statSync(path).mtimeMs }))
    .toSorted((one, other) => one.at - other.at)
    .map(({ path }) => path);
}

/** A process with our own number is one of before. */
function hasEnded(pid: number, own: number): boolean {
  if (pid === own) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

/**
 * Takes out what is read once more: what could not be asked, and the parts that were interrupted and begin again. A part with a
 * cursor goes on behind its last step.
 */
async function keepFinished(path: string): Promise<void> {
  const done = new Set<string>();
  for await (const entry of entriesOf(path)) if ('done' in entry) done.add(entry.task);
  const kept = `${path}.${process.pid}`;
  writeFileSync(kept, '', { mode: FILE_MODE });
  for await (const entry of entriesOf(path)) {
    const isKept = done.has(entry.task) || ('step' in entry && entry.step.cursor !== undefined);
    if (isKept) appendFileSync(kept, `${JSON.stringify(entry)}\n`);
  }
  renameSync(kept, path);
}

/** A process that was killed may have left half a line at the end. */
async function* entriesOf(path: string): AsyncGenerator<Entry> {
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    try {
      yield JSON.parse(line) as Entry;
    } catch {
      return;
    }
  }
}

function folder(): string {
  const uid = process.getuid?.() ?? 'user';
  const path = join(tmpdir(), `accubooks-audit-${uid}`);
  mkdirSync(path, { recursive: true, mode: FOLDER_MODE });
  const found = lstatSync(path);
  // Anyone may make folders there.
  if (!found.isDirectory() || (uid !== 'user' && found.uid !== uid))
    throw new Error(`${path} is not yours: remove it.`);
  return path;
}
