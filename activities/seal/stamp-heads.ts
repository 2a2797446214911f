import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { StampActivities } from '../../workflows/seal-messages.ts';
import type { Pool } from '../database.ts';
import { headsWithoutEvidence, keepEvidence, type WaitingHead } from './evidence.ts';
import type { HeadOfLog } from './heads.ts';
import { type Evidence, type HeadWitness, WitnessFault } from './witness.ts';

export type StampDependencies = {
  /** Its login is a member of accubooks_sealer. */
  readonly pool: Pool;
  readonly witness: HeadWitness;
  /** Lets the evidence leave: before it is kept, so that a process that dies in between gets other evidence and tells that. */
  tell(head: HeadOfLog, evidence: Evidence): Promise<void>;
  onFault(head: HeadOfLog, fault: WitnessFault): void;
  /** Evidence that could not leave is kept nevertheless: a witness may have been paid for it. */
  onUntold(head: HeadOfLog, error: Error): void;
  readonly headsAPage?: number;
};

const HEADS_A_PAGE = 200;
/** An authority is a service that others use as well. */
const AT_ONCE = 4;
/** Then it is not the head: it is the witness, which is left alone until the next attempt. */
const ROUNDS_WITHOUT_SUCCESS = 2;
const HEARTBEAT_MS = 10_000;

/** The activity that has heads witnessed. It fails, to be tried again, while one of them has no evidence. */
export function createStampActivities(dependencies: StampDependencies): StampActivities {
  return {
    async stampHeads() {
      const context = Context.current();
      const alive = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
      try {
        return await stampAll(dependencies, context.cancellationSignal);
      } finally {
        clearInterval(alive);
      }
    },
  };
}

async function stampAll(dependencies: StampDependencies, signal: AbortSignal): Promise<number> {
  const { pool, witness, headsAPage = HEADS_A_PAGE } = dependencies;
  let stamped = 0;
  let without = 0;
  let after: WaitingHead | undefined;
  for (;;) {
    const heads = await headsWithoutEvidence(pool, witness.kind, { limit: headsAPage, after });
    const page = await stampPage(dependencies, heads, signal);
    stamped += page.done;
    without += heads.length - page.done;
    // Those that failed are left to the next attempt, and so is the rest where it is the witness.
    if (page.isLeft || heads.length < headsAPage) break;
    after = heads.at(-1);
  }
  if (without > 0) throw ApplicationFailure.retryable(`${without} heads have no evidence`, 'WitnessFault');
  return stamped;
}

/** How many of the heads have got evidence; `isLeft`: the witness is left alone. */
async function stampPage(
  dependencies: StampDependencies,
  heads: readonly HeadOfLog[],
  signal: AbortSignal,
): Promise<{ readonly done: number; readonly isLeft: boolean }> {
  let done = 0;
  let failures = 0;
  for (let at = 0; at < heads.length && failures < ROUNDS_WITHOUT_SUCCESS; at += AT_ONCE) {
    signal.throwIfAborted();
    const round = await Promise.all(heads.slice(at, at + AT_ONCE).map((head) => stamp(dependencies, head)));
    const stamped = round.filter(Boolean).length;
    done += stamped;
    failures = stamped > 0 ? 0 : failures + 1;
  }
  return { done, isLeft: failures >= ROUNDS_WITHOUT_SUCCESS };
}

async function stamp(dependencies: StampDependencies, head: HeadOfLog): Promise<boolean> {
  const { pool, witness, tell, onFault, onUntold } = dependencies;
  let evidence: Evidence;
  try {
    evidence = await witness.witness(head);
  } catch (error) {
    if (!(error instanceof WitnessFault)) throw error;
    onFault(head, error);
    return false;
  }
  await tell(head, evidence).catch((error: Error) => onUntold(head, error));
  await keepEvidence(pool, head, witness.kind, evidence);
  return true;
}
