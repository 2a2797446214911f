import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { StampActivities } from '../../workflows/seal-messages.ts';
import type { Pool } from '../database.ts';
import { headsWithoutEvidence, keepEvidence } from './evidence.ts';
import type { HeadOfLog } from './heads.ts';
import { type Evidence, type HeadWitness, WitnessFault } from './witness.ts';

export type StampDependencies = {
  /** Its login is a member of accubooks_sealer. */
  readonly pool: Pool;
  readonly witness: HeadWitness;
  /** Lets the evidence leave: before it is kept, so that a process that dies in between gets other evidence and tells that. */
  tell(head: HeadOfLog, evidence: Evidence): Promise<void>;
  onFault(head: HeadOfLog, fault: WitnessFault): void;
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
  const { pool, witness } = dependencies;
  for (let stamped = 0; ; ) {
    const heads = await headsWithoutEvidence(pool, witness.kind, HEADS_A_PAGE);
    const without = await stampPage(dependencies, heads, signal);
    stamped += heads.length - without;
    if (without > 0) throw ApplicationFailure.retryable(`${without} heads have no evidence`, 'WitnessFault');
    if (heads.length < HEADS_A_PAGE) return stamped;
  }
}

/** How many of the heads have no evidence afterwards. */
async function stampPage(
  dependencies: StampDependencies,
  heads: readonly HeadOfLog[],
  signal: AbortSignal,
): Promise<number> {
  let done = 0;
  let failures = 0;
  for (let at = 0; at < heads.length && failures < ROUNDS_WITHOUT_SUCCESS; at += AT_ONCE) {
    signal.throwIfAborted();
    const round = await Promise.all(heads.slice(at, at + AT_ONCE).map((head) => stamp(dependencies, head)));
    const stamped = round.filter(Boolean).length;
    done += stamped;
    failures = stamped > 0 ? 0 : failures + 1;
  }
  return heads.length - done;
}

async function stamp({ pool, witness, tell, onFault }: StampDependencies, head: HeadOfLog): Promise<boolean> {
  let evidence: Evidence;
  try {
    evidence = await witness.witness(head);
  } catch (error) {
    if (!(error instanceof WitnessFault)) throw error;
    onFault(head, error);
    return false;
  }
  await tell(head, evidence);
  await keepEvidence(pool, head, witness.kind, evidence);
  return true;
}
