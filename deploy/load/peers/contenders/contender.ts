import type { RunningPostgres } from '../../../local/postgres.ts';

/** One of those that are compared: how it is started, and what it promises. */
export type Contender = {
  readonly name: string;
  readonly title: string;
  /** Without a crash of the database itself. From its documentation; the measurements show whether it holds. */
  readonly promises: string;
  readonly auditAndCompanies: string;
  /** Needs the packages of this folder's package.json. */
  readonly installed: boolean;
  start(stage: Stage): Promise<RunningContender>;
};

/** What all contenders run on, one after another. */
export type Stage = {
  readonly folder: string;
  readonly postgres: RunningPostgres;
  /** How many invoices are paid in turn. */
  readonly invoices: number;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
  /** Wraps an engine's binary so that the engine never outlives the benchmark. */
  recordingPid(binary: string): string;
};

export type RunningContender = {
  readonly version: string;
  /** The same after a restart. */
  readonly url: string;
  readonly token: string;
  readonly invoiceIds: readonly string[];
  pids(): Readonly<Record<string, number>>;
  /** `kill -9` of the process that answers, and a new one in its place. */
  crash(): Promise<void>;
  /** What the database says of these keys. */
  readRows(keys: readonly string[]): Promise<Rows>;
  stop(): Promise<void>;
};

export type Rows = {
  readonly ofKeys: readonly RowsOfKey[];
  /** Payments that belong to no key at all. */
  readonly strays: number;
};

export type RowsOfKey = {
  readonly key: string;
  readonly payments: number;
  readonly paymentId: string | null;
  readonly lines: number;
  readonly sumMinor: number;
  readonly auditRows: number;
};
