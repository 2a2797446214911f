import type { SealedLog } from '../seal/content.ts';
import type { Finding } from './finding.ts';

/** How many rows were looked at. */
export type Counts = {
  readonly companies: number;
  readonly writes: number;
  readonly entries: number;
  readonly auditRows: number;
  readonly events: number;
  readonly seals: number;
  /** Published heads that were kept outside the database. */
  readonly outsideHeads: number;
};

export const NOTHING_CHECKED: Counts = {
  ...{ companies: 0, writes: 0, entries: 0, auditRows: 0, events: 0, seals: 0 },
  outsideHeads: 0,
};

/**
 * Runs one statement with the auditor's role, in a read-only transaction of its own. `plan`: whether it finds some rows by
 * their indexes, which is the default, or reads whole tables and joins them by hash.
 */
export type Ask = <Row>(sql: string, values?: readonly unknown[], plan?: 'by index' | 'by hash') => Promise<Row[]>;

/** The days (UTC) on which the writes that are compared were completed, both included; null: without an end. */
export type Range = { readonly from: string | null; readonly to: string | null };

/**
 * One of the things that the auditor compares. A new one is an element of a list of checks: it is asked side by side with the
 * others, resumed, told of, and its findings are counted and printed like theirs.
 */
export type AuditCheck = {
  readonly name: string;
  /** What it reads, for whoever is told that it could not be asked. */
  readonly reads: string;
  /**
   * What one part of it is about: a company, some companies, or everything at once. Parts are run side by side, and a run that
   * is resumed begins with the parts that were not finished.
   */
  readonly each: 'company' | 'companies' | 'everything';
  /** Throws {@link CouldNotAsk}, or any other error, where it cannot be asked. */
  run(part: Part, context: CheckContext): AsyncIterable<Step>;
};

export type Part = { readonly companyIds: readonly string[] };

export type CheckContext = {
  readonly ask: Ask;
  readonly range: Range;
  /** The months (`2026-08`) whose audit rows are in files, so that nothing can be compared with them. */
  readonly archivedMonths: readonly string[];
  /** The `cursor` of the last step of an earlier run, from where this one goes on; undefined at the beginning. */
  readonly cursor: unknown;
  readonly signal: AbortSignal;
};

/** What has been read since the step before. */
export type Step = {
  readonly checked?: Partial<Counts>;
  readonly findings?: readonly Finding[];
  readonly explained?: readonly Explained[];
  /** What could not be read on the way; the rest was. */
  readonly notAsked?: readonly NotAsked[];
  /** JSON: from where an interrupted part goes on. Without it the part begins again. */
  readonly cursor?: unknown;
};

/** Something that the auditor was to read and could not; not that anything is wrong there. */
export type NotAsked = { readonly what: string; readonly why: string };

/** A published head that names rows which are gone, and the epoch that says why: no finding. */
export type Explained = {
  readonly companyId: string;
  readonly log: SealedLog;
  readonly position: number;
  readonly number: number;
  readonly publishedAt: string;
  readonly epoch: number;
  /** Left out by a worker of the release before. */
  readonly beganAt?: string | undefined;
  /** The last number of the log from which the epoch went on; 0 where nothing was left. */
  readonly lastKept: number;
  readonly operator: string;
  readonly reason: string;
};

/** `message` says why. */
export class CouldNotAsk extends Error {
  /** What was not read; what the check reads, if it does not say. */
  readonly what: string | undefined;

  constructor(why: string, what?: string) {
    super(why);
    this.name = 'CouldNotAsk';
    this.what = what;
  }
}
