import type { Problem } from '../client/src/generated/types.ts';

/** How a command ends, for scripts. */
export const EXIT = {
  /** Each row is written, by this batch or before. */
  done: 0,
  /** The batch is over, and some row came to nothing. */
  faulty: 1,
  /** Used wrongly, or refused as a whole: the same command comes to the same end. */
  refused: 2,
  /** Not over, or not known: the same command, run again, goes on. */
  unfinished: 3,
} as const;

/** The whole is refused, by the API or before anything was sent. */
export class Refused extends Error {
  readonly problem: Problem | undefined;
  constructor(message: string, problem?: Problem) {
    super(message);
    this.problem = problem;
  }
}

/** It may go on without us, or has not begun. The message says what to do. */
export class Unfinished extends Error {}
