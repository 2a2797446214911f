import { FIRST_EPOCH, type Trust } from '../../workflows/messages.ts';
import { TransientFailure } from '../failures.ts';

/** What a process knows of its database: only a verified server may be written to. */
export type Fence = {
  /** Undefined while the process knows of no verified server. */
  readonly trust: Trust | undefined;
  /**
   * As the database says at this moment: what the process knows may be of up to some seconds before. Throws
   * {@link TransientFailure} where it is not verified, or does not answer.
   */
  readTrust(): Promise<Trust>;
  /** The database refused a claim, so it is another one than the process knows: it looks at once. */
  notice(): void;
};

/** Throws {@link TransientFailure}: the server may be verified in a moment. */
export function requireTrust({ trust }: Pick<Fence, 'trust'>): Trust {
  if (trust === undefined) {
    throw new TransientFailure('This process knows of no verified database', { mayHaveCommitted: false });
  }
  return trust;
}

/** A run that was started before the last loss: where it has no row, its row may have been there, and been answered. */
export function isOfEarlierEpoch(stamp: Trust | undefined, now: Trust): boolean {
  return (stamp?.epoch ?? FIRST_EPOCH) !== now.epoch;
}
