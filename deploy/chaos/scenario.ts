import type { Operation } from '../../activities/operation.ts';
import type { Progress } from '../cli/progress.ts';
import type { Target, Tenant } from '../cli/target.ts';
import type { Http } from '../client/src/http.ts';
import type { Write } from '../client/src/submit-write.ts';
import type { Sent } from '../isolation/isolation.ts';

/** One kind of trouble, and what is promised while it lasts and afterwards. */
export type Scenario = {
  /** In kebab case. */
  readonly name: string;
  readonly promise: string;
  readonly needs: readonly Need[];
  /** How many companies it writes in. */
  readonly companies: number;
  run(stage: Stage): Promise<Ran>;
};

/** What not every target has. */
export type Need = keyof typeof NEEDS;

export const NEEDS = {
  database: 'the login of the database’s owner (--database-url)',
  temporal: 'the address of Temporal (TEMPORAL_ADDRESS)',
  receiver: 'an API on this machine that takes webhooks to it (WEBHOOK_ALLOW_PRIVATE=1)',
  local: 'the local system with its own PostgreSQL and Temporal (npm start)',
} as const;

/** Where a scenario plays. */
export type Stage = {
  readonly target: Target;
  readonly http: Http;
  readonly seed: string;
  /** How long the trouble and the calm around it last. */
  readonly seconds: number;
  /** The prefix of all keys of this run. */
  readonly run: string;
  readonly progress: Progress;
  /** Aborted at Ctrl-C. */
  readonly signal: AbortSignal;
};

export type Planned = { readonly tenant: Tenant; readonly operation: Operation; readonly write: Write };

/** One write with its final answer; times are those of `performance.now()`. */
export type ChaosSent = Sent & {
  readonly operation: Operation;
  readonly beganAt: number;
  readonly answeredAt: number;
};

export type Trouble = { readonly beganAt: number; readonly endedAt: number };

/** What a scenario leaves to be judged. */
export type Ran = {
  readonly sent: readonly ChaosSent[];
  /** When clients began the last of their new writes. */
  readonly loadEndedAt: number;
  readonly loadBeganAt: number;
  readonly troubles: readonly Trouble[];
  /** Further figures, by what they are. */
  readonly facts?: Readonly<Record<string, string | number>>;
  /** What this scenario alone can see. */
  readonly violations?: readonly string[];
};

/** The target lacks something that shows only when it is tried. */
export class CannotRun extends Error {}
