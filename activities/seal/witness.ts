import type { SignedHead } from '../../workflows/seal-messages.ts';

/**
 * Somebody outside who can say later that a head was there at some time, to a reader who believes neither the owner of the
 * database nor the owner of the key. An authority that time-stamps (RFC 3161) is one. A bucket that keeps each object for years,
 * whoever asks to delete it, could be another: it would give the object's address and version as evidence.
 */
export type HeadWitness = {
  readonly kind: EvidenceKind;
  /** Throws a {@link WitnessFault} where there is no evidence, or none that holds. Asked again, it may give other evidence. */
  witness(head: SignedHead): Promise<Evidence>;
};

/** The kinds that the table `seal_evidence` knows. */
export type EvidenceKind = 'time-stamp';

export type Evidence = {
  /** What a reader checks: of a time stamp, its token in DER. */
  readonly bytes: Buffer;
  /** When the head was there, by the witness's own clock. */
  readonly at: Date;
};

/**
 * `unreachable`: no answer, or one of HTTP that is none of the protocol. `refused`: the witness has declined. `invalid`: what it
 * has given does not hold, and is not kept.
 */
export const WITNESS_FAULTS = ['unreachable', 'refused', 'invalid'] as const;

export class WitnessFault extends Error {
  readonly kind: (typeof WITNESS_FAULTS)[number];

  constructor(kind: (typeof WITNESS_FAULTS)[number], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'WitnessFault';
    this.kind = kind;
  }
}
