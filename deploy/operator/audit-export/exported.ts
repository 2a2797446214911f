import type { SealedLog } from '../../../activities/seal/content.ts';
import type { Part } from './part.ts';

/** What the manifest of a bundle tells. */

export type ExportedLog = Omit<Part, 'first'> & { readonly rows: number; readonly archived: number };
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
