import { createHash } from 'node:crypto';
import {
  appendFileSync,
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
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

/** `of`: what makes two runs the same, such as the database and the days. */
export async function openFileJournal(of: unknown, { resume }: { readonly resume: boolean }): Promise<FileJournal> {
  const name = createHash('sha256').update(JSON.stringify(of)).digest('hex').slice(0, 32);
  const path = join(folder(), `${name}.ndjson`);
  const resumed = resume && existsSync(path);
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
