import type { SealedLog } from '../../../activities/seal/content.ts';
import type { Part } from './part.ts';

/** What the manifest of a bundle tells. */

export type ExportedLog = Omit<Part, 'first'> & {
  readonly rows: number;
  readonly archived: number;
  readonly epochs: readonly EpochStart[];
};

/** From where an epoch has gone on in a log: the last row, the chain's digest there, and the position of the last published head. */
export type EpochStart = {
  readonly epoch: number;
  readonly number: number;
  readonly digest: string;
  readonly head: number | null;
};

export type ExportedCompany = {
  readonly id: string;
  readonly name: string;
  readonly logs: Readonly<Record<SealedLog, ExportedLog>>;
};

export type Epoch = {
  readonly epoch: number;
  readonly beganAt: string;
  readonly operator: string | null;
  readonly reason: string | null;
};
