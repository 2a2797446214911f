/** The messages between the sealer, the workflow that it starts, and its activity: plain JSON only. */

export const ANNOUNCE_HEADS_WORKFLOW_TYPE = 'announceHeads';

export const STAMP_HEADS_WORKFLOW_TYPE = 'stampHeads';

/** Separate from the other queues: only workers that seal and have a time-stamp authority poll it. */
export function sealerTaskQueue(writeTaskQueue: string): string {
  return `${writeTaskQueue}-sealer`;
}

/** A head as it leaves the database; see docs/seal-format.md. */
export type SignedHead = { readonly head: string; readonly keyId: string; readonly signature: string };

/** One call of a company's webhook. `callId` is the same each time that it is made. */
export type SealedCall = { readonly companyId: string; readonly callId: string; readonly heads: readonly SignedHead[] };

export type HeadsToAnnounce = {
  readonly calls: readonly SealedCall[];
  /** The delay before each further attempt. */
  readonly delaysMs: readonly number[];
};

export type SealActivities = {
  /** Calls the webhook once; `false` where the call was not received. */
  callSealed(call: SealedCall): Promise<boolean>;
};

export type StampOrder = {
  /** Part of the arguments, so that a replayed history always sees its own policy. */
  readonly retry: { readonly firstMs: number; readonly mostMs: number };
};

export type StampActivities = {
  /** Has all heads stamped that are not, and says how many; fails while one is not. */
  stampHeads(): Promise<number>;
};
